package audit

import (
	"strconv"
	"strings"
	"time"
)

const (
	// maxFields bounds the fields of a record, maxNode its node in bytes.
	maxFields = 512
	maxNode   = 256
	// enriched begins the part of a record in which auditd interprets the fields before it.
	enriched = '\x1d'
)

// Record is one record of an event. Type is its name, such as SYSCALL, or "UNKNOWN[n]". Records of one event have the same Serial, Time
// and Node; Serial is 0 and Time zero if the record came without them, and Node is empty where the record does not name it.
type Record struct {
	Node   string
	Type   string
	Serial uint64
	Time   time.Time
	Fields []Field
	Text   string // that was parsed; empty of a record without serial
}

// Field is one field. Name is as in the record; those of the interpreted part are in capitals. Value is decoded: without quotes, and
// text where the kernel wrote it in hexadecimal because of what it contains.
type Field struct{ Name, Value string }

// Get returns the first field called name, "" if there is none.
func (r *Record) Get(name string) string {
	for i := range r.Fields {
		if r.Fields[i].Name == name {
			return r.Fields[i].Value
		}
	}
	return ""
}

// Parse parses a whole record, which begins with its type or node:
//
//	node=web1 type=SYSCALL msg=audit(1764446400.123:538): arch=c000003e …
//	type=1400 audit(1764446400.123:538): apparmor="DENIED" …
//
// The second form is the kernel's, which also begins with "audit: ". ok is false if text is no record.
func Parse(text string) (r Record, ok bool) {
	whole := text
	if rest, found := strings.CutPrefix(text, "node="); found {
		if r.Node, text, ok = strings.Cut(rest, " "); !ok || len(r.Node) > maxNode {
			return Record{}, false
		}
	}
	r.Text = whole
	text = strings.TrimPrefix(text, "audit: ")
	name, rest, ok := cutWord(text, "type=")
	if !ok {
		return Record{}, false
	}
	rest = strings.TrimPrefix(rest, "msg=")
	stamp, rest, ok := cutStamp(rest)
	if !ok {
		return Record{}, false
	}
	if r.Serial, r.Time, ok = ParseStamp(stamp); !ok {
		return Record{}, false
	}
	r.Type = TypeName(name)
	r.Fields = parseFields(r.Type, rest)
	return r, true
}

// ParseBody parses the fields of a record whose type, serial and time are known from elsewhere, as in a journal entry.
func ParseBody(typeName, text string) Record {
	name := TypeName(typeName)
	return Record{Type: name, Fields: parseFields(name, text)}
}

// cutWord returns the word after prefix at the start of s, and what follows it.
func cutWord(s, prefix string) (word, rest string, ok bool) {
	if s, ok = strings.CutPrefix(s, prefix); !ok {
		return "", "", false
	}
	word, rest, _ = strings.Cut(s, " ")
	return word, rest, word != ""
}

// cutStamp cuts "audit(1764446400.123:538):" off s and returns what is in the parentheses.
func cutStamp(s string) (stamp, rest string, ok bool) {
	if s, ok = strings.CutPrefix(s, "audit("); !ok {
		return "", "", false
	}
	if stamp, rest, ok = strings.Cut(s, "):"); !ok {
		return "", "", false
	}
	return stamp, strings.TrimPrefix(rest, " "), true
}

// ParseStamp parses "1764446400.123:538", the time in seconds since 1970 and the serial of an event.
func ParseStamp(s string) (serial uint64, at time.Time, ok bool) {
	clock, number, ok := strings.Cut(s, ":")
	seconds, millis, hasMillis := strings.Cut(clock, ".")
	if !ok || !hasMillis || len(millis) != 3 {
		return 0, time.Time{}, false
	}
	sec, err1 := strconv.ParseUint(seconds, 10, 34)
	ms, err2 := strconv.ParseUint(millis, 10, 10)
	serial, err3 := strconv.ParseUint(number, 10, 64)
	if err1 != nil || err2 != nil || err3 != nil {
		return 0, time.Time{}, false
	}
	return serial, time.UnixMilli(int64(sec*1000 + ms)).UTC(), true
}
