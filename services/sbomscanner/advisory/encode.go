package advisory

import (
	"encoding/binary"
	"time"
)

// An advisory is stored as: head (id, aliases, upstream, summary, rating, times, severities), the length of the text and the
// text (details, references), then the affected packages, each after its length. Strings and lists follow their length, numbers
// are varints (package encoding/binary). So a lookup copies the head and the packages that it asks for, and skips the rest.

// encode appends the stored form of a to b.
func encode(b []byte, a *Advisory) []byte {
	b = appendString(b, a.ID)
	b = appendStrings(b, a.Aliases)
	b = appendStrings(b, a.Upstream)
	b = appendString(b, a.Summary)
	b = appendString(b, a.Rating)
	for _, t := range []time.Time{a.Published, a.Modified, a.Withdrawn} {
		b = appendTime(b, t)
	}
	b = appendSeverities(b, a.Severities)
	b = appendBlock(b, func(b []byte) []byte {
		return appendStrings(appendString(b, a.Details), a.References)
	})
	b = binary.AppendUvarint(b, uint64(len(a.Affected)))
	for i := range a.Affected {
		b = appendBlock(b, func(b []byte) []byte { return appendAffected(b, &a.Affected[i]) })
	}
	return b
}

func appendAffected(b []byte, a *Affected) []byte {
	b = appendString(b, a.Ecosystem)
	b = appendString(b, a.Name)
	b = appendString(b, a.Rating)
	b = appendSeverities(b, a.Severities)
	b = appendStrings(b, a.Versions)
	b = binary.AppendUvarint(b, uint64(len(a.Ranges)))
	for _, r := range a.Ranges {
		b = appendString(b, string(r.Type))
		b = binary.AppendUvarint(b, uint64(len(r.Events)))
		for _, e := range r.Events {
			b = appendString(b, e.Introduced)
			b = appendString(b, e.Fixed)
			b = appendString(b, e.LastAffected)
			b = appendString(b, e.Limit)
		}
	}
	return b
}

// appendBlock appends what fill appends, after its length in four bytes.
func appendBlock(b []byte, fill func([]byte) []byte) []byte {
	start := len(b)
	b = fill(append(b, 0, 0, 0, 0))
	binary.LittleEndian.PutUint32(b[start:], uint32(len(b)-start-4))
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendStrings(b []byte, list []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = appendString(b, s)
	}
	return b
}

func appendSeverities(b []byte, list []Severity) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = appendString(appendString(b, s.Type), s.Score)
	}
	return b
}

func appendTime(b []byte, t time.Time) []byte {
	return binary.AppendUvarint(binary.AppendVarint(b, t.Unix()), uint64(t.Nanosecond()))
}
