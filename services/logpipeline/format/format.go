package format

import (
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/internal/glob"
	"github.com/ironpost/ironpost/internal/tomlfile"
	"github.com/ironpost/ironpost/sigma"
)

// Format describes the lines of one program: text that has a pattern, or JSON objects that have members. It does not change; any goroutine
// may use it.
type Format struct {
	Name        string
	Description string
	Position    tomlfile.Position // of the format in its file
	Logsource   sigma.Logsource   // of its events
	// Programs are patterns of syslog programs whose messages are read; none: every text or object whose program has no format of its own.
	Programs []string
	// Contains are texts that every line has. A pattern is tried only on a text that has all.
	Contains []string
	// Members are what a JSON object of the format has; none for a format of text.
	Members []Member
	// Copies are fields that take the value of others.
	Copies []Copy
	// Constants are fields that every event has.
	Constants []Constant
	// Event says which fields are attributes of the event.
	Event Event
	// Samples are lines with what is read of them.
	Samples []Sample

	patterns []pattern
}

// Member is a member of a JSON object. Inner ones are named with a dot, such as objectRef.resource.
type Member struct {
	Name string
	Text string // its value as text, "*" for any
}

// Copy is a field and where its value is from: the first of the fields or members From that is set; with Join the texts of all of them that
// are set, with a blank between. An element of a list is named by its number from 0, such as args.0.port.
type Copy struct {
	Field string
	From  []string
	Join  bool
}

// Constant is a field and its value.
type Constant struct {
	Field string
	Value sigma.Value
}

// Event names the fields that have attributes of the event, "" for none.
type Event struct {
	Time, User, Source, SourcePort, Message string
	// Layout is that of Time, as of time.Parse; "" finds it out.
	Layout string
	// Zone is that of a Time without one, nil for that of the source.
	Zone *time.Location
}

// Sample is a line and some of what is read of it.
type Sample struct {
	Position tomlfile.Position
	Line     string
	Time     time.Time // zero: not checked
	Fields   []Constant
}

// IsJSON reports whether f describes JSON objects.
func (f *Format) IsJSON() bool { return len(f.Members) > 0 }

// Reads reports whether f is for messages of program, the name of a syslog tag; "" for a text without one.
func (f *Format) Reads(program string) bool {
	return len(f.Programs) == 0 || slices.ContainsFunc(f.Programs, func(p string) bool { return readsProgram(p, program) })
}

func readsProgram(pattern, program string) bool {
	if first := pattern[0]; first != '*' && first != '?' && (program == "" || program[0] != first) { // most
		return false
	}
	return glob.Match(pattern, program)
}

// Match returns the fields that the first pattern that matches text, which is not empty, captures, in a fixed order, and false if none does.
func (f *Format) Match(text string) ([]Constant, bool) {
	for _, part := range f.Contains {
		if !strings.Contains(text, part) {
			return nil, false
		}
	}
	for _, p := range f.patterns {
		if fields, ok := p.match(text); ok {
			return fields, true
		}
	}
	return nil, false
}

// Set is the formats in use, in the order in which they are tried. It does not change.
type Set struct {
	texts, objects []*Format
}

// NewSet returns the set of formats, which have different names.
func NewSet(formats []*Format) *Set {
	s := &Set{}
	for _, f := range formats {
		if f.IsJSON() {
			s.objects = append(s.objects, f)
		} else {
			s.texts = append(s.texts, f)
		}
	}
	return s
}

// Texts returns the formats of text. s may be nil, which has none.
func (s *Set) Texts() []*Format {
	if s == nil {
		return nil
	}
	return s.texts
}

// Objects returns the formats of JSON objects. s may be nil, which has none.
func (s *Set) Objects() []*Format {
	if s == nil {
		return nil
	}
	return s.objects
}

// All returns every format.
func (s *Set) All() []*Format { return slices.Concat(s.Texts(), s.Objects()) }
