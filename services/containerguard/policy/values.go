package policy

import (
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/glob"
	"github.com/ironpost/ironpost/internal/setting"
	"github.com/ironpost/ironpost/internal/tomlfile"
)

// The mistakes of policies are those of their files.
type (
	Position = tomlfile.Position
	Problem  = tomlfile.Problem
	Error    = tomlfile.Error
)

func severityOf(s *tomlfile.Section, key string, otherwise event.Severity) event.Severity {
	v := s.Get(key, unstable.String, "a string")
	if v == nil {
		return otherwise
	}
	level, err := event.ParseSeverity(strings.ToLower(v.Text))
	if err != nil {
		s.Problem(key, "%s is not allowed, must be one of info, low, medium, high, critical", setting.Shown(v.Text))
	}
	return level
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
func enumList[T ~string](s *tomlfile.Section, key string, allowed []T) []T {
	names := make([]string, len(allowed))
	for i, a := range allowed {
		names[i] = string(a)
	}
	var out []T
	for _, w := range s.List(key, func(w string) string { return setting.OneOf(w, names...) }) {
		out = append(out, T(w))
	}
	return out
}
