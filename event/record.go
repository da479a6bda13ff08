package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Schema is the number this version writes into every record.
const Schema = 1

// MaxSize is the most bytes an encoded record may have.
const MaxSize = 64 << 10

const (
	maxText = 1 << 10
	maxName = 256
	maxTags = 32

	maxPURL    = 400
	maxVersion = 64 // also of an advisory's id in a finding
	maxAliases = 4  // of a finding
)

// ErrTooLarge is returned for a record that does not fit MaxSize.
var ErrTooLarge = fmt.Errorf("record larger than %d bytes", MaxSize)

// Meta is what the bus needs of a record: its id for deduplication, and the values
// it repeats in headers. Severity and Rule may be empty.
type Meta struct {
	ID       string
	TraceID  string
	Severity string
	Rule     string
	Schema   int
}

// Record is one of *Packet, *Log, *Alert, *Action.
type Record interface {
	Meta() Meta
	Validate() error
	clamp()           // shortens every part to its cap
	dropDetail() bool // halves the least useful part; false if nothing is left to drop
}

// Encode returns r as JSON of at most MaxSize bytes, as PrintableJSON. It shortens r in
// place to the caps of this package, and drops detail if it is still too large. It returns
// the error of Validate if r is invalid, and ErrTooLarge if no detail is left to drop.
func Encode(r Record) ([]byte, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	r.clamp()
	for {
		b, err := json.Marshal(r)
		if err != nil {
			return nil, err
		}
		if b = PrintableJSON(b); len(b) <= MaxSize {
			return b, nil
		}
		if !r.dropDetail() {
			return nil, ErrTooLarge
		}
	}
}

// Decode reads b into r and validates it. Unknown fields are ignored.
func Decode(b []byte, r Record) error {
	if len(b) > MaxSize {
		return ErrTooLarge
	}
	if err := json.Unmarshal(b, r); err != nil {
		return err
	}
	return r.Validate()
}

func validMeta(m Meta, at time.Time) error {
	if m.Schema < 1 {
		return errors.New("schema is missing")
	}
	if at.IsZero() {
		return errors.New("time is missing")
	}
	if len(m.ID) > maxName {
		return fmt.Errorf("id is longer than %d bytes", maxName)
	}
	return required("id", m.ID)
}

func required(name, value string) error {
	if value == "" {
		return fmt.Errorf("%s is missing", name)
	}
	return nil
}

func positive(name string, n int) error {
	if n < 1 {
		return fmt.Errorf("%s is %d, not positive", name, n)
	}
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func clampEach(in []string, n int) []string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = Shorten(s, n)
	}
	return out
}

func first[T any](in []T, n int) []T {
	if len(in) > n {
		return in[:n]
	}
	return in
}
