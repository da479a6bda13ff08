package embedded

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"

	"github.com/ironpost/ironpost/bus"
)

const (
	// openingName is the file that is in the store while it is being opened. The Go runtime writes into it why the process ended.
	openingName = "opening"
	// panickedSuffix is of that of the start before, if it ended with a panic.
	panickedSuffix = ".panicked"
)

// beginOpening notes that the store is being opened. The store of which two openings one after the other ended with a panic is moved
// aside; one of a process that was killed counts as none.
func (s *Server) beginOpening() error {
	path := filepath.Join(s.config.StoreDir, openingName)
	trace, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	s.interrupted = err == nil
	before := path + panickedSuffix
	if len(bytes.TrimSpace(trace)) > 0 {
		if _, err := os.Lstat(before); err == nil {
			why := "the server ended twice while it read it: " + firstLine(trace)
			if err := s.setAsideStream(filepath.Join(s.config.StoreDir, "jetstream"), bus.SetAside{Why: why}); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		if err := os.Rename(path, before); err != nil {
			return err
		}
	}
	return crashOutput(path)
}

// crashOutput has the runtime write to a new file at path, too, why the process ends with a panic.
func crashOutput(path string) (err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }() // the runtime has its own descriptor
	return debug.SetCrashOutput(file, debug.CrashOptions{})
}

// Opened notes that the streams could be read: a later end is none of opening the store.
func (s *Server) Opened() error {
	err := debug.SetCrashOutput(nil, debug.CrashOptions{})
	path := filepath.Join(s.config.StoreDir, openingName)
	for _, name := range []string{path, path + panickedSuffix} {
		if gone := os.Remove(name); !errors.Is(gone, os.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}
	return err
}

func firstLine(text []byte) string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(text), []byte("\n"))
	return strconv.QuoteToASCII(string(line[:min(len(line), 200)]))
}
