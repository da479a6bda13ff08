package tail

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// Values of Config.From.
const (
	FromEnd   = "end"   // only lines written from now on
	FromStart = "start" // all of it
)

// Limits and their defaults.
const (
	DefaultMaxLine  = 64 << 10
	DefaultMaxFiles = 10_000
	DefaultPoll     = time.Second
	DefaultLinger   = 4 * time.Second

	minMaxLine = 16
	maxMaxLine = 1 << 20
)

// Config says what a Tailer follows. The zero value of a field other than the patterns
// and ScratchDir means its default.
type Config struct {
	// Paths holds absolute paths and patterns of path/filepath.Match.
	Paths []string
	// Spools holds patterns of files that this program writes, each only once. Those with the same path up to the last hyphen are
	// a sequence in the order of their names. They are read from their start, those of a sequence one after the other, and a
	// half-written line at the end of one is counted as lost.
	Spools []string
	// ScratchDir is a folder to unpack files in that were rotated and compressed (.gz)
	// before they were read to their end. Empty: the rest of them is lost.
	ScratchDir string
	// From is FromEnd (the default) or FromStart. It applies to files that are there when
	// their pattern is matched for the first time in the life of a state; files that
	// appear later are read from their start.
	From string
	// MaxLine is the number of bytes kept of one line; the rest is skipped.
	MaxLine int
	// MaxFiles limits how many paths are followed at once.
	MaxFiles int
	// Poll is how often files are checked without a change notification.
	Poll time.Duration
	// Linger is how long a rotated file must be unchanged before it is finished and
	// the rest of it without a newline becomes a line.
	Linger time.Duration
	// OnLoss, if set, is told of losses, such as n bytes for the cause "lost_bytes_rotated"; spool says that the file is one of Spools. It
	// must not call the Tailer.
	OnLoss func(path string, spool bool, cause string, n int64)
}

// Validate returns an error for each bad path or limit of c, or nil.
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
