package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/atomicfile"
)

const (
	// verifyAlways is how large the blocks of a stream may be together to be verified at each start; larger ones are after a
	// start that did not end.
	verifyAlways = 32 << 20
	// largestBlock is more than the server makes.
	largestBlock = 128 << 20
)

// verifyStreams verifies the blocks of streams before the server reads them. A bucket with a damaged one is moved out of the store: it
// is made anew by bus.Conn.Provision, and what is known of it is written back. Of a stream only the damaged records are taken out.
func (s *Server) verifyStreams() error {
	folders, err := filepath.Glob(filepath.Join(s.streamsFolder(), "*"))
	if err != nil {
		return err
	}
	for _, folder := range folders {
		if err := s.verifyStream(folder); err != nil {
			return fmt.Errorf("verify stream %s: %w", filepath.Base(folder), err)
		}
	}
	return nil
}

func (s *Server) streamsFolder() string {
	return filepath.Join(s.config.StoreDir, "jetstream", bus.AccountApp, "streams")
}

func (s *Server) verifyStream(folder string) error {
	blocks, err := filepath.Glob(filepath.Join(folder, "msgs", "*.blk"))
	if err != nil || !s.interrupted && sizeOf(blocks) > verifyAlways {
		return err
	}
	stream := bus.StreamName(filepath.Base(folder))
	for _, path := range blocks {
		state, err := readBlock(path, string(stream))
		switch {
		case err != nil:
			return err
		case state.damaged == 0 || state.torn:
			continue
		case strings.HasPrefix(string(stream), "KV_"):
			return s.setAsideStream(folder, bus.SetAside{Stream: stream, Why: filepath.Base(path) + ": " + state.String()})
		}
		if err := s.repair(folder, path, state); err != nil {
			return err
		}
	}
	return nil
}

func sizeOf(files []string) (total int64) {
	for _, path := range files {
		if info, err := os.Lstat(path); err == nil {
			total += info.Size()
		}
	}
	return total
}

func readBlock(path, stream string) (blockState, error) {
	if size := sizeOf([]string{path}); size > largestBlock {
		return blockState{damaged: 1, lost: int(size)}, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return blockState{}, err
	}
	r, err := newBlockReader(data, stream, strings.TrimSuffix(filepath.Base(path), ".blk"))
	if err != nil {
		return blockState{}, err
	}
	return r.read(), nil
}

// repair moves a block out of the store and puts what is whole of it in its place. The server makes its index of the stream again.
func (s *Server) repair(folder, path string, state blockState) error {
	aside := bus.SetAside{Stream: bus.StreamName(filepath.Base(folder)), Why: filepath.Base(path) + ": " + state.String(), Rest: true}
	if err := s.setAsideStream(path, aside); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(folder, "msgs", "index.db")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if len(state.whole) == 0 {
		return nil
	}
	return atomicfile.WriteFile(path, state.whole, 0o600)
}

// setAsideStream moves a file or folder of a stream out of the store and notes it.
func (s *Server) setAsideStream(path string, aside bus.SetAside) error {
	name := strings.TrimPrefix(strings.TrimPrefix(path, s.config.StoreDir), string(filepath.Separator))
	name = strings.ReplaceAll(name, string(filepath.Separator), "-")
	aside.Path = filepath.Join(s.config.StoreDir, setAsideFolder, time.Now().UTC().Format("20060102T150405.000")+"-"+name)
	if err := moveAside(path, aside.Path); err != nil {
		return fmt.Errorf("%s is unusable (%s) and cannot be moved: %w", path, aside.Why, err)
	}
	s.log.WithFields(logrus.Fields{"stream": aside.Stream, "reason": aside.Why, "kept": aside.Path}).Error("stored messages are damaged, moved out of the store")
	s.setAside = append(s.setAside, aside)
	return nil
}
