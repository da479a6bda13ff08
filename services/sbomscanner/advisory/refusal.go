package advisory

import (
	"errors"
	"fmt"

	"github.com/ironpost/ironpost/event"
)

// Reasons why a record is refused; they are the keys of Coverage.Refused.
const (
	refusedJSON      = "malformed_json"
	refusedID        = "bad_id"
	refusedTime      = "bad_time"
	refusedDuplicate = "duplicate_id"
	refusedSize      = "too_large"
	refusedLimit     = "over_limit"
	refusedEcosystem = "other_ecosystem"
	refusedArchive   = "damaged_in_archive"
	refusedName      = "unsafe_file_name"
	refusedScore     = "bad_score"
)

// refusal is why one record is not imported.
type refusal struct {
	reason string
	cause  error
}

func (r *refusal) Error() string { return r.reason + ": " + r.cause.Error() }
func (r *refusal) Unwrap() error { return r.cause }

func refuse(reason, format string, args ...any) error {
	return &refusal{reason: reason, cause: fmt.Errorf(format, args...)}
}

// refusals counts what was refused.
type refusals struct {
	refused  map[string]int
	examples []Refusal
}

// refuse counts err if it is a refusal of a record of file, and returns all other errors.
func (r *refusals) refuse(file string, err error) error {
	var one *refusal
	if !errors.As(err, &one) {
		return err
	}
	if r.refused == nil {
		r.refused = make(map[string]int)
	}
	r.refused[one.reason]++
	if len(r.examples) < maxExamples {
		r.examples = append(r.examples, Refusal{
			File: event.Printable(file, 200), Reason: one.reason, Detail: event.Printable(one.cause.Error(), 200),
		})
	}
	return nil
}
