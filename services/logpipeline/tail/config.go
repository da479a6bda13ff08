package tail

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// Where a file that exists when its pattern is first seen is read from.
const (
	FromEnd   = "end"   // only what is written from now on
	FromStart = "start" // all of it
)

// Limits and their defaults.
const (
	DefaultMaxLine  = 64 << 10
	DefaultMaxFiles = 10_000
	DefaultPoll     = time.Second
	DefaultLinger   = 5 * time.Second

	minMaxLine = 16
	maxMaxLine = 1 << 20
)

// Config says what a Tailer follows. The zero value of each field but Paths
// stands for its default.
type Config struct {
	// Paths holds absolute paths and patterns of path/filepath.Match.
	Paths []string
	// Spools holds patterns of files that are written once, whole, in the order
	// of their names, by a program of ours. They are read from their start, one
	// after the other, and what an aborted write left at the end of one is not a line.
	Spools []string
	// Scratch is a folder for what must be unpacked: a file that was rotated and
	// compressed (.gz) before we had read it. Empty: what was not read of it is lost.
	ScratchDir string
	// From is FromEnd (the default) or FromStart. It applies to files that are
	// there when their pattern is seen for the first time in the life of a state;
	// files that appear later are read from their start.
	From string
	// MaxLine is the number of bytes kept of one line; the rest is skipped.
	MaxLine int
	// MaxFiles bounds how many files are followed at once.
	MaxFiles int
	// Poll is how often files are looked at without being told of a change.
	Poll time.Duration
	// Linger is how long a rotated file may be quiet before it is finished and
	// the rest of it without a newline becomes a line.
	Linger time.Duration
}

// Validate returns what is wrong with the paths and limits of c, or nil.
func (c Config) Validate() error {
	errs := append(checkPatterns(c.Paths), checkPatterns(c.Spools)...)
	if c.From != "" && c.From != FromEnd && c.From != FromStart {
		errs = append(errs, fmt.Errorf("from %q: allowed are %q and %q", c.From, FromEnd, FromStart))
	}
	if c.MaxLine != 0 && (c.MaxLine < minMaxLine || c.MaxLine > maxMaxLine) {
		errs = append(errs, fmt.Errorf("longest line %d: allowed are %d to %d bytes", c.MaxLine, minMaxLine, maxMaxLine))
	}
	if c.MaxFiles < 0 || c.Poll < 0 || c.Linger < 0 {
		errs = append(errs, errors.New("a limit is below zero"))
	}
	return errors.Join(errs...)
}

func checkPatterns(patterns []string) []error {
	var errs []error
	for _, p := range patterns {
		if !filepath.IsAbs(p) {
			errs = append(errs, fmt.Errorf("path %q is not absolute", p))
		}
		if _, err := filepath.Match(p, ""); err != nil {
			errs = append(errs, fmt.Errorf("path %q: %w", p, err))
		}
	}
	return errs
}

func (c Config) withDefaults() Config {
	c.From = cmp.Or(c.From, FromEnd)
	c.MaxLine = cmp.Or(c.MaxLine, DefaultMaxLine)
	c.MaxFiles = cmp.Or(c.MaxFiles, DefaultMaxFiles)
	c.Poll = cmp.Or(c.Poll, DefaultPoll)
	c.Linger = cmp.Or(c.Linger, DefaultLinger)
	return c
}
