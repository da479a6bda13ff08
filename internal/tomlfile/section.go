package tomlfile

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/ironpost/ironpost/internal/setting"
)

const (
	maxText     = 1024
	maxList     = 256
	maxDuration = 3650 * 24 * time.Hour
)

// Section reads the keys of one table and adds their mistakes to problems.
type Section struct {
	Path     string // of its keys, such as "policy.match."; "" for the root
	Node     *Node
	Problems *Problems
	read     []string
}

// At returns the position of the value of key, or of the table.
func (s *Section) At(key string) Position {
	if v := s.Node.Table[key]; v != nil {
		return v.Position
	}
	return s.Node.Position
}

// Problem adds a mistake of key.
func (s *Section) Problem(key, format string, args ...any) {
	s.Problems.Add(s.At(key), s.Path+key, format, args...)
}

// Value returns the value of key, of any kind, nil if it is not set.
func (s *Section) Value(key string) *Node {
	s.read = append(s.read, key)
	return s.Node.Table[key]
}

// Get returns the value of key if it is set and of that kind; what names the kind.
func (s *Section) Get(key string, kind unstable.Kind, what string) *Node {
	v := s.Value(key)
	if v == nil {
		return nil
	}
	if v.Kind != kind {
		s.Problem(key, "is %s, must be %s", setting.TOMLKind(v.Kind), what)
		return nil
	}
	return v
}

// Has reports whether key is set, correctly or not.
func (s *Section) Has(key string) bool { return s.Node.Table[key] != nil }

// Require reports keys that are missing.
func (s *Section) Require(keys ...string) {
	for _, key := range keys {
		if !s.Has(key) {
			s.Problems.Add(s.Node.Position, s.Path+key, "is missing")
		}
	}
}

// Text returns the string of key, which must not be blank nor have more than 1024 bytes; otherwise if it is not set.
func (s *Section) Text(key, otherwise string) string { return s.LongText(key, otherwise, maxText) }

// LongText is Text of at most limit bytes.
func (s *Section) LongText(key, otherwise string, limit int) string {
	v := s.Get(key, unstable.String, "a string")
	switch {
	case v == nil:
		return otherwise
	case strings.TrimSpace(v.Text) == "":
		s.Problem(key, "must not be empty")
	case len(v.Text) > limit:
		s.Problem(key, "has %d bytes, allowed are %d", len(v.Text), limit)
	}
	return v.Text
}

// Bool returns the value of key, otherwise if it is not set.
func (s *Section) Bool(key string, otherwise bool) bool {
	v := s.Get(key, unstable.Bool, "true or false")
	if v == nil {
		return otherwise
	}
	return v.Text == "true"
}

// Number returns the whole number of key, from low to high; otherwise if it is not set.
func (s *Section) Number(key string, otherwise, low, high int) int {
	v := s.Get(key, unstable.Integer, "a whole number")
	if v == nil {
		return otherwise
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(v.Text, "_", ""), 0, 64)
	if err != nil || n < int64(low) || n > int64(high) {
		s.Problem(key, "%s is out of range, must be %d to %d", setting.Shown(v.Text), low, high)
		return otherwise
	}
	return int(n)
}

// Duration reads a duration such as 90s, 10m, 12h or 7d.
func (s *Section) Duration(key string, otherwise, low time.Duration) time.Duration {
	v := s.Get(key, unstable.String, "a duration such as \"90s\", \"10m\", \"12h\" or \"7d\"")
	if v == nil {
		return otherwise
	}
	d, err := parseDuration(v.Text)
	if err != nil || d < low || d > maxDuration {
		s.Problem(key, "%s is not allowed, must be a duration from %s to 3650d such as \"90s\", \"10m\", \"12h\" or \"7d\"", setting.Shown(v.Text), low)
		return otherwise
	}
	return d
}

func parseDuration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(text)
}

// List reads strings. check returns the mistake of one, or "".
func (s *Section) List(key string, check func(string) string) []string {
	v := s.Get(key, unstable.Array, "a list of strings")
	if v == nil {
		return nil
	}
	if len(v.List) > maxList {
		s.Problem(key, "has %d elements, allowed are %d", len(v.List), maxList)
		return nil
	}
	out := make([]string, 0, len(v.List))
	for _, e := range v.List {
		if what := checkElement(e, out, check); what != "" {
			s.Problems.Add(e.Position, s.Path+key, "%s", what)
			continue
		}
		out = append(out, e.Text)
	}
	return out
}

// checkElement returns the mistake of an element of a list after those before it, or "".
func checkElement(e *Node, before []string, check func(string) string) string {
	if e.Kind != unstable.String {
		return "is " + setting.TOMLKind(e.Kind) + ", must be a string"
	}
	if what := check(e.Text); what != "" {
		return what
	}
	if slices.Contains(before, e.Text) {
		return setting.Shown(e.Text) + " is listed twice"
	}
	return ""
}

// Table returns the section of key, an empty one if it is not set.
func (s *Section) Table(key string) *Section {
	v := s.Get(key, unstable.InlineTable, "a section")
	if v == nil {
		v = newTable(s.At(key))
	}
	return &Section{Path: s.Path + key + ".", Node: v, Problems: s.Problems}
}

// CheckUnknownKeys reports the keys that were not read.
func (s *Section) CheckUnknownKeys() {
	for _, key := range s.Node.Keys {
		if slices.Contains(s.read, key) {
			continue
		}
		s.Problems.Add(s.Node.KeyPositions[key], s.Path+setting.Key(key), "unknown key, allowed are %s", strings.Join(s.read, ", "))
	}
}
