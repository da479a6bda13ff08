package embedded

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/minio/highwayhash"
	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/bus"
)

// setAsideFolder is where state is kept that the server cannot use, beside its own folder.
const setAsideFolder = "set-aside"

// SetAside returns the state of durables that was moved out of the store before the server started, or was gone, and the files of
// streams that were moved.
func (s *Server) SetAside() []bus.SetAside { return slices.Clone(s.setAside) }

// checkStore moves what the server would end with, or wait for, out of the store before it reads it.
func (s *Server) checkStore() error {
	if err := s.beginOpening(); err != nil {
		return err
	}
	return errors.Join(s.verifyStreams(), s.setAsideDurables(), s.removeExpiries())
}

// setAsideDurables moves the state of durables out of the store that the server would not start with, or that is further than
// what is known: its records would be skipped. What is moved is made anew by bus.Conn.Provision.
func (s *Server) setAsideDurables() error {
	streams := filepath.Join(s.config.StoreDir, "jetstream", bus.AccountApp, "streams")
	for _, p := range s.config.Known {
		if _, err := os.Lstat(filepath.Join(streams, string(p.Stream), "obs", p.Name)); errors.Is(err, os.ErrNotExist) {
			s.setAside = append(s.setAside, bus.SetAside{Stream: p.Stream, Name: p.Name, Why: "its folder is gone"})
		}
	}
	folders, err := filepath.Glob(filepath.Join(streams, "*", "obs", "*"))
	if err != nil {
		return err
	}
	for _, folder := range folders {
		name := filepath.Base(folder)
		stream := bus.StreamName(filepath.Base(filepath.Dir(filepath.Dir(folder))))
		why, ahead := checkDurable(folder, stream, name, s.known(stream, name))
		if why == "" {
			continue
		}
		aside := bus.SetAside{Stream: stream, Name: name, Why: why}
		if !ahead {
			aside.Path = filepath.Join(s.config.StoreDir, setAsideFolder, fmt.Sprintf("%s-%s-%s", time.Now().UTC().Format("20060102T150405.000"), stream, name))
		}
		if err := moveAside(folder, aside.Path); err != nil {
			return fmt.Errorf("durable %s of %s is unusable (%s) and cannot be moved: %w", name, stream, why, err)
		}
		log := s.log.WithFields(logrus.Fields{"stream": stream, "durable": name, "reason": why, "kept": aside.Path})
		if ahead {
			log.Info("durable goes back to where it is known to have been")
			continue
		}
		log.Error("state of a durable is damaged, moved out of the store")
		s.setAside = append(s.setAside, aside)
	}
	return nil
}

// removeExpiries removes the files that say when entries of buckets expire. The server reads them unchecked, and a damaged one
// makes it remove entries before their time; without them it reads the entries themselves.
func (s *Server) removeExpiries() error {
	files, err := filepath.Glob(filepath.Join(s.config.StoreDir, "jetstream", bus.AccountApp, "streams", "*", "msgs", "thw.db"))
	for _, file := range files {
		err = errors.Join(err, os.Remove(file))
	}
	return err
}

// moveAside moves folder, or removes it if to is empty.
func moveAside(folder, to string) error {
	if to == "" {
		return os.RemoveAll(folder)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	return os.Rename(folder, to)
}

// known returns what is remembered of a durable, nil if nothing is.
func (s *Server) known(stream bus.StreamName, name string) *bus.Position {
	i := slices.IndexFunc(s.config.Known, func(p bus.Position) bool { return p.Stream == stream && p.Name == name })
	if i < 0 {
		return nil
	}
	return &s.config.Known[i]
}

// checkDurable returns why the state in folder is not to be used, "" if it is. ahead reports that it is whole and only further than
// known, which was saved a moment before a crash.
func checkDurable(folder string, stream bus.StreamName, name string, known *bus.Position) (why string, ahead bool) {
	if err := checkMeta(folder, string(stream)+"/"+name); err != nil {
		return "meta.inf: " + err.Error(), false
	}
	state, err := os.ReadFile(filepath.Join(folder, "o.dat"))
	switch {
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return err.Error(), false
	case len(state) == 0 && known != nil && known.Done > 0:
		return "o.dat: it is empty or gone", false
	case len(state) == 0:
		return "", false
	}
	floor, delivered, err := decodeState(state)
	switch {
	case err != nil:
		return "o.dat: " + err.Error(), false
	case known == nil:
		return "", false
	case known.Exact && (floor != known.Floor || delivered != known.Delivered):
		return fmt.Sprintf("o.dat: it says %d and %d, and was at %d and %d", floor, delivered, known.Floor, known.Delivered), false
	case floor > known.Done || delivered > max(known.Delivered, known.Done):
		return fmt.Sprintf("it is at %d and %d, after the %d and %d that are known", floor, delivered, known.Floor, known.Delivered), true
	}
	return "", false
}

// checkMeta compares meta.inf in folder with its checksum, which the server writes and does not compare. The key of the checksum is the
// hash of the consumer's name.
func checkMeta(folder, name string) error {
	meta, err := os.ReadFile(filepath.Join(folder, "meta.inf"))
	if err != nil {
		return errors.Unwrap(err)
	}
	sum, err := os.ReadFile(filepath.Join(folder, "meta.sum"))
	if err != nil {
		return fmt.Errorf("its checksum: %w", errors.Unwrap(err))
	}
	key := sha256.Sum256([]byte(name))
	h, err := highwayhash.NewDigest64(key[:])
	if err != nil {
		return err
	}
	if _, err := h.Write(meta); err != nil {
		return err
	}
	if hex.EncodeToString(h.Sum(nil)) != string(sum) {
		return errors.New("it is not what its checksum was made of")
	}
	return nil
}

// Positions returns the ack floors and delivered sequences in the files of a store whose server has stopped, by stream and name.
func Positions(storeDir string) map[[2]string][2]uint64 {
	out := map[[2]string][2]uint64{}
	folders, _ := filepath.Glob(filepath.Join(storeDir, "jetstream", bus.AccountApp, "streams", "*", "obs", "*"))
	for _, folder := range folders {
		state, err := os.ReadFile(filepath.Join(folder, "o.dat"))
		if err != nil {
			continue
		}
		if floor, delivered, err := decodeState(state); err == nil {
			out[[2]string{filepath.Base(filepath.Dir(filepath.Dir(folder))), filepath.Base(folder)}] = [2]uint64{floor, delivered}
		}
	}
	return out
}

// ChangedAt returns when the server last wrote the state of two streams of a store, each in a file of its own; zero if it did not. Damage to one
// file does not change it.
func ChangedAt(storeDir string) time.Time {
	files, _ := filepath.Glob(filepath.Join(storeDir, "jetstream", bus.AccountApp, "streams", "*", "msgs", "index.db"))
	times := make([]time.Time, 2, len(files)+2)
	for _, file := range files {
		if info, err := os.Lstat(file); err == nil {
			times = append(times, info.ModTime())
		}
	}
	slices.SortFunc(times, func(a, b time.Time) int { return b.Compare(a) })
	return times[1]
}
