package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/ironpost/ironpost/event"
)

// The headers a dead letter adds to those of the original.
const (
	HeaderDLQStream   = "Ironpost-Dlq-Stream"
	HeaderDLQDurable  = "Ironpost-Dlq-Durable"
	HeaderDLQSequence = "Ironpost-Dlq-Sequence"
	HeaderDLQReason   = "Ironpost-Dlq-Reason"
	HeaderDLQID       = "Ironpost-Dlq-Id"
	HeaderDLQSubject  = "Ironpost-Dlq-Subject"
)

// rejection is an error that a redelivery does not remove.
type rejection struct{ err error }

// Reject marks err: a delivery whose Handler returns it is copied to the dead letters and
// not redelivered.
func Reject(err error) error { return &rejection{err} }

// Error implements error.
func (r *rejection) Error() string { return r.err.Error() }

// Unwrap returns the error that was marked.
func (r *rejection) Unwrap() error { return r.err }

func (r *rejection) reason() string { return event.PrintableASCII(r.Error(), maxHeader) }

// copyToDLQ copies d to the dead letters of module on host. The copy's id names the
// durable: two may reject the same message.
func (c *Conn) copyToDLQ(ctx context.Context, module, host string, d Delivery, r *rejection) error {
	m := nats.NewMsg(DLQSubject(module, host))
	m.Data = d.Data
	for key, values := range d.Header {
		if !strings.HasPrefix(key, "Nats-") {
			m.Header[key] = values
		}
	}
	seq := strconv.FormatUint(d.Sequence, 10)
	m.Header.Set(HeaderID, string(d.Stream)+"."+d.Durable+"."+seq)
	m.Header.Set(HeaderDLQStream, string(d.Stream))
	m.Header.Set(HeaderDLQDurable, d.Durable)
	m.Header.Set(HeaderDLQSequence, seq)
	m.Header.Set(HeaderDLQReason, r.reason())
	m.Header.Set(HeaderDLQID, event.PrintableASCII(d.ID, maxHeader))
	m.Header.Set(HeaderDLQSubject, event.PrintableASCII(d.Subject, maxHeader))
	if _, err := c.publish(ctx, m); err != nil {
		return fmt.Errorf("copy to the dead letters: %w", err)
	}
	return nil
}

// DeadLetter is input that cannot be handled and is not a delivery, such as a line of a
// file. It is stored once per ID.
type DeadLetter struct {
	Module, Host, ID, Reason string

	Data []byte
}

// PublishDeadLetter stores l with the dead letters. It makes one attempt of at most 5 s.
func (c *Conn) PublishDeadLetter(ctx context.Context, l DeadLetter) error {
	m := nats.NewMsg(DLQSubject(l.Module, l.Host))
	m.Data = l.Data
	m.Header.Set(HeaderID, event.PrintableASCII(l.ID, maxHeader))
	m.Header.Set(HeaderDLQID, event.PrintableASCII(l.ID, maxHeader))
	m.Header.Set(HeaderDLQReason, event.PrintableASCII(l.Reason, maxHeader))
	if _, err := c.publish(ctx, m); err != nil {
		return fmt.Errorf("publish dead letter: %w", err)
	}
	return nil
}

// checkReflected rejects a message that the server itself put on a captured subject: the
// answer to a read request that named the subject as its reply. Only answers carry
// a sequence.
func checkReflected(h nats.Header) error {
	if h.Get("Nats-Sequence") == "" {
		return nil
	}
	return Reject(errors.New("copy of a stored message, not published by a module"))
}
