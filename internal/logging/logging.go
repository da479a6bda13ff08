// Package logging sets up logrus with two formatters of its own: JSON, and one line per
// entry for a terminal. Logged text may come from an attacker, and logrus' text formatter
// prints it raw; these escape every control character and every character that reorders
// or hides text, and cut long values.
package logging

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/sirupsen/logrus"
)

// The formats: one JSON object per line, or a line for people.
const (
	JSON   = "json"
	Pretty = "pretty"
)

// levels are the names of general.log_level.
var levels = []string{"trace", "debug", "info", "warn", "error"}

// Options configure a log.
type Options struct {
	Level   string // trace, debug, info, warn or error
	Format  string // json or pretty
	Colour  bool   // pretty only, for a terminal: colours the level
	Journal bool   // pretty only, for systemd's journal: a priority in place of the time
}

// New returns a logger that writes to w, one Write per line. It is safe for
// concurrent use.
func New(w io.Writer, opts Options) (*logrus.Logger, error) {
	log := logrus.New()
	log.SetOutput(w)
	if err := Apply(log, opts); err != nil {
		return nil, err
	}
	return log, nil
}

// Apply changes the level and the format of a logger, also while it is in use.
// It changes nothing if it returns an error.
func Apply(log *logrus.Logger, opts Options) error {
	level, err := parseLevel(opts.Level)
	if err != nil {
		return err
	}
	formatter, err := formatterFor(opts)
	if err != nil {
		return err
	}
	log.SetFormatter(formatter)
	log.SetLevel(level)
	return nil
}

func parseLevel(name string) (logrus.Level, error) {
	if slices.Contains(levels, name) {
		return logrus.ParseLevel(name)
	}
	return 0, fmt.Errorf("log level %q is none of %s", name, strings.Join(levels, ", "))
}

func formatterFor(opts Options) (logrus.Formatter, error) {
	switch opts.Format {
	case JSON:
		return jsonFormatter{}, nil
	case Pretty:
		return prettyFormatter{colour: opts.Colour, journal: opts.Journal}, nil
	}
	return nil, fmt.Errorf("log format %q is none of %s, %s", opts.Format, JSON, Pretty)
}
