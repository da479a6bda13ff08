package syslog

import (
	"errors"
	"time"
)

// Transports of a message.
const (
	UDP = "udp"
	TCP = "tcp"
)

// ErrLine is the error of Decode for a line that is not a record of a spool file.
var ErrLine = errors.New("not a spool record")

// Received is one message as it came in.
type Received struct {
	Time      time.Time // when it was received, UTC
	Peer      string    // ip:port of the sender
	Transport string    // UDP or TCP
	Message   []byte    // the bytes of the message, framing removed
}

// Decode returns what a line of a spool file holds, or an error that wraps
// ErrLine. Message is the caller's to keep. Any goroutine may call it.
func Decode(line []byte) (Received, error) { return Received{}, ErrLine }
