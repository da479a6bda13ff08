package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/glob"
	"github.com/ironpost/ironpost/internal/setting"
)

const (
	maxText     = 1024
	maxList     = 256
	maxDuration = 3650 * 24 * time.Hour
)

// section reads the keys of one table and adds their mistakes to problems.
type section struct {
	path     string // "policy.match."
	node     *node
	problems *problemList
	read     []string
}

// position returns that of the value of key, or of the table.
func (s *section) position(key string) Position {
	if v := s.node.table[key]; v != nil {
		return v.position
	}
	return s.node.position
}

func (s *section) problem(key, format string, args ...any) {
	s.problems.add(s.position(key), s.path+key, format, args...)
}

// get returns the value of key if it is set and of that kind; what names the kind.
func (s *section) get(key string, kind unstable.Kind, what string) *node {
	s.read = append(s.read, key)
	v := s.node.table[key]
	if v == nil {
		return nil
	}
	if v.kind != kind {
		s.problem(key, "is %s, must be %s", setting.TOMLKind(v.kind), what)
		return nil
	}
	return v
}

// has reports whether key is set, correctly or not.
func (s *section) has(key string) bool { return s.node.table[key] != nil }

// require reports keys that are missing.
func (s *section) require(keys ...string) {
	for _, key := range keys {
		if !s.has(key) {
			s.problems.add(s.node.position, s.path+key, "is missing")
		}
	}
}

func (s *section) text(key, otherwise string) string {
	v := s.get(key, unstable.String, "a string")
	switch {
	case v == nil:
		return otherwise
	case strings.TrimSpace(v.text) == "":
		s.problem(key, "must not be empty")
	case len(v.text) > maxText:
		s.problem(key, "has %d bytes, allowed are %d", len(v.text), maxText)
	}
	return v.text
}

func (s *section) boolean(key string, otherwise bool) bool {
	v := s.get(key, unstable.Bool, "true or false")
	if v == nil {
		return otherwise
	}
	return v.text == "true"
}

func (s *section) number(key string, otherwise, low, high int) int {
	v := s.get(key, unstable.Integer, "a whole number")
	if v == nil {
		return otherwise
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(v.text, "_", ""), 0, 64)
	if err != nil || n < int64(low) || n > int64(high) {
		s.problem(key, "%s is out of range, must be %d to %d", setting.Shown(v.text), low, high)
		return otherwise
	}
	return int(n)
}

// duration reads a duration such as 90s, 10m, 12h or 7d.
func (s *section) duration(key string, otherwise, low time.Duration) time.Duration {
	v := s.get(key, unstable.String, "a duration such as \"90s\", \"10m\", \"12h\" or \"7d\"")
	if v == nil {
		return otherwise
	}
	d, err := parseDuration(v.text)
	if err != nil || d < low || d > maxDuration {
		s.problem(key, "%s is not allowed, must be a duration from %s to 3650d such as \"90s\", \"10m\", \"12h\" or \"7d\"", setting.Shown(v.text), low)
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

func (s *section) severity(key string, otherwise event.Severity) event.Severity {
	v := s.get(key, unstable.String, "a string")
	if v == nil {
		return otherwise
	}
	level, err := event.ParseSeverity(strings.ToLower(v.text))
	if err != nil {
		s.problem(key, "%s is not allowed, must be one of info, low, medium, high, critical", setting.Shown(v.text))
	}
	return level
}

// list reads strings. check returns the mistake of one, or "".
func (s *section) list(key string, check func(string) string) []string {
	v := s.get(key, unstable.Array, "a list of strings")
	if v == nil {
		return nil
	}
	if len(v.list) > maxList {
		s.problem(key, "has %d elements, allowed are %d", len(v.list), maxList)
		return nil
	}
	out := make([]string, 0, len(v.list))
	for _, e := range v.list {
		if what := checkElement(e, out, check); what != "" {
			s.problems.add(e.position, s.path+key, "%s", what)
			continue
		}
		out = append(out, e.text)
	}
	return out
}

// checkElement returns the mistake of an element of a list after those before it, or "".
func checkElement(e *node, before []string, check func(string) string) string {
	if e.kind != unstable.String {
		return "is " + setting.TOMLKind(e.kind) + ", must be a string"
	}
	if what := check(e.text); what != "" {
		return what
	}
	if slices.Contains(before, e.text) {
		return setting.Shown(e.text) + " is listed twice"
	}
	return ""
}

func checkPattern(text string) string {
	switch {
	case text == "":
		return "a pattern must not be empty"
	case len(text) > glob.MaxPattern:
		return fmt.Sprintf("a pattern may have %d bytes, this one has %d", glob.MaxPattern, len(text))
	}
	return ""
}

func checkLabel(text string) string {
	if key, _, _ := strings.Cut(text, "="); key == "" || strings.ContainsAny(key, "*?") {
		return setting.Shown(text) + " is not a label, must be key or key=pattern"
	}
	return checkPattern(text)
}

// enumList reads a list of strings that are each one of allowed.
func enumList[T ~string](s *section, key string, allowed []T) []T {
	names := make([]string, len(allowed))
	for i, a := range allowed {
		names[i] = string(a)
	}
	var out []T
	for _, w := range s.list(key, func(w string) string { return setting.OneOf(w, names...) }) {
		out = append(out, T(w))
	}
	return out
}

// table returns the section of key, an empty one if it is not set.
func (s *section) table(key string) *section {
	v := s.get(key, unstable.InlineTable, "a section")
	if v == nil {
		v = newTable(s.position(key))
	}
	return &section{path: s.path + key + ".", node: v, problems: s.problems}
}

// checkUnknownKeys reports the keys that were not read.
func (s *section) checkUnknownKeys() {
	for _, key := range s.node.keys {
		if slices.Contains(s.read, key) {
			continue
		}
		s.problems.add(s.node.keyPositions[key], s.path+setting.Key(key), "unknown key, allowed are %s", strings.Join(s.read, ", "))
	}
}
