package syslog

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"
)

// Limits and their defaults.
const (
	DefaultSegmentBytes = 16 << 20
	DefaultMaxBytes     = 1 << 30
	DefaultMaxMessage   = 64 << 10
	DefaultMaxConns     = 256
	DefaultIdle         = 300 * time.Second
	DefaultRetry        = 2 * time.Second
)

// Config says where to listen and how much to keep. The zero value of each field
// but UDP, TCP and Dir stands for its default.
type Config struct {
	// UDP and TCP are addresses to listen on, host:port. Empty means not at all.
	UDP, TCP string
	// Dir is the folder of the spool files, made with mode 0700 if it is not there.
	Dir string
	// SegmentBytes is the size at which the next spool file begins.
	SegmentBytes int64
	// MaxBytes bounds all spool files together.
	MaxBytes int64
	// MaxMessage bounds one message; a longer one is cut, and counted.
	MaxMessage int
	// MaxConns bounds the open TCP connections; one more is closed at once.
	MaxConns int
	// Idle is how long a TCP connection may be without a complete message.
	IdleTimeout time.Duration
	// Retry is how long to wait before a failed bind or write is tried again.
	RetryInterval time.Duration
}

// Validate returns what is wrong with c, or nil.
func (c Config) Validate() error {
	var errs []error
	for _, addr := range []string{c.UDP, c.TCP} {
		if err := checkAddr(addr); err != nil {
			errs = append(errs, err)
		}
	}
	if !filepath.IsAbs(c.Dir) {
		errs = append(errs, fmt.Errorf("spool folder %q is not absolute", c.Dir))
	}
	if c.SegmentBytes < 0 || c.MaxBytes < 0 || c.MaxMessage < 0 || c.MaxConns < 0 || c.IdleTimeout < 0 || c.RetryInterval < 0 {
		errs = append(errs, errors.New("a limit is below zero"))
	}
	if c.MaxMessage > DefaultMaxMessage {
		errs = append(errs, fmt.Errorf("longest message %d: at most %d bytes", c.MaxMessage, DefaultMaxMessage))
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	c.SegmentBytes = cmp.Or(c.SegmentBytes, DefaultSegmentBytes)
	c.MaxBytes = cmp.Or(c.MaxBytes, DefaultMaxBytes)
	c.MaxMessage = cmp.Or(c.MaxMessage, DefaultMaxMessage)
	c.MaxConns = cmp.Or(c.MaxConns, DefaultMaxConns)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, DefaultIdle)
	c.RetryInterval = cmp.Or(c.RetryInterval, DefaultRetry)
	return c
}

func checkAddr(addr string) error {
	if addr == "" {
		return nil
	}
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return fmt.Errorf("address %q: not host:port", addr)
	}
	return nil
}
