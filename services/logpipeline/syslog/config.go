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
	DefaultMaxPerPeer   = 64
	DefaultUDPQueue     = 16 << 20
	DefaultIdle         = 300 * time.Second
	DefaultRetry        = 2 * time.Second
)

// Config says where to listen and how much to keep. The zero value of a field other
// than the addresses, the files of TLS and Dir means its default.
type Config struct {
	// UDP, TCP and TLS are addresses to listen on, host:port; an empty one is off.
	UDP, TCP, TLS string
	// Unix is the path of a datagram socket, which any program on this host may send to; empty is off.
	Unix string
	// Certificate and Key are files of the server's certificate with its chain, and its key, for TLS. ClientCA is a file of certificates: a sender
	// that shows one issued by them is who it says; empty asks for none.
	Certificate, Key, ClientCA string
	// Dir is the folder of the spool files, created with mode 0700 if missing.
	Dir string
	// SegmentBytes is the size in bytes at which the next spool file begins.
	SegmentBytes int64
	// MaxBytes limits all spool files together.
	MaxBytes int64
	// MaxMessage is how many bytes of a message are kept; a longer one is cut, and counted.
	MaxMessage int
	// MaxConns limits the open TCP connections, MaxConnsPerPeer those of one address, or of one /64 of public IPv6 addresses. For one
	// more, an idle one gives way (see connTable).
	MaxConns, MaxConnsPerPeer int
	// UDPQueueBytes limits the bytes of datagrams that wait to be written. Each sender has a share (see datagramQueues).
	UDPQueueBytes int
	// IdleTimeout is how long a TCP connection may be without a complete message.
	IdleTimeout time.Duration
	// RetryInterval is how long to wait before a failed bind or write is tried again.
	RetryInterval time.Duration
	// OnLoss, if set, is told of n messages that were dropped. The name of the sequence begins with the transport and a hyphen. It must not
	// call the Server.
	OnLoss func(sequence, reason string, n int64)
}

// Validate returns an error for each bad address, folder or limit of c, or nil.
func (c Config) Validate() error {
	var errs []error
	for _, addr := range []string{c.UDP, c.TCP, c.TLS} {
		if err := checkAddr(addr); err != nil {
			errs = append(errs, err)
		}
	}
	if c.Unix != "" && !filepath.IsAbs(c.Unix) {
		errs = append(errs, fmt.Errorf("socket %q is not absolute", c.Unix))
	}
	if !filepath.IsAbs(c.Dir) {
		errs = append(errs, fmt.Errorf("spool folder %q is not absolute", c.Dir))
	}
	if c.SegmentBytes < 0 || c.MaxBytes < 0 || c.MaxMessage < 0 || c.MaxConns < 0 || c.MaxConnsPerPeer < 0 || c.UDPQueueBytes < 0 || c.IdleTimeout < 0 || c.RetryInterval < 0 {
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
	c.MaxConnsPerPeer = cmp.Or(c.MaxConnsPerPeer, DefaultMaxPerPeer)
	c.UDPQueueBytes = cmp.Or(c.UDPQueueBytes, DefaultUDPQueue)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, DefaultIdle)
	c.RetryInterval = cmp.Or(c.RetryInterval, DefaultRetry)
	return c
}

// addrs returns what to listen on, by transport.
func (c Config) addrs() map[string]string {
	return map[string]string{UDP: c.UDP, TCP: c.TCP, TLS: c.TLS, Unix: c.Unix}
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
