package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// OriginKind is the layer that set a value.
type OriginKind int

// The layers, weakest first; a secret file replaces the layer that named it.
const (
	FromDefault OriginKind = iota
	FromFile
	FromVariable
	FromFlag
	FromSecretFile
)

// Origin is where a value was set.
type Origin struct {
	Kind OriginKind
	// Name is the file, variable or flag; empty for a default.
	Name string
	// At is the line of a file.
	At Position
}

// String returns "default", "file:line", the variable, the flag, or the path of the secret's file.
func (o Origin) String() string {
	switch o.Kind {
	case FromDefault:
		return "default"
	case FromFile:
		return fmt.Sprintf("%s:%d", o.Name, o.At.Line)
	default:
		return o.Name
	}
}

// Value is the effective value of one key.
type Value struct {
	// Key is the dotted key, Variable the environment variable that sets it, "" for a list of sections.
	Key, Variable string
	// Text is the value as TOML; a secret is redacted in it.
	Text string
	// Data is string, bool, int64, []string, or a map for each element of a list of sections; a secret is redacted in it too.
	Data   any
	Origin Origin

	exact *string // the value as TOML with nothing hidden, for Diff; a pointer, so that printing a Value shows no secret
}

// Loaded describes a configuration that was loaded. It does not change, so it may be shared.
type Loaded struct {
	// Path is the file named by Options; Found reports whether it exists.
	Path  string
	Found bool
	// Values has every key in the order of the schema.
	Values []Value
	// Warnings are for the log and for ironpost config validate, in the form of problems.
	Warnings []string
}

// Get returns the value of a key.
func (l *Loaded) Get(key string) (Value, bool) {
	for _, v := range l.Values {
		if v.Key == key {
			return v, true
		}
	}
	return Value{}, false
}

// Change is a key whose value differs between two configurations. Old and New are TOML; secrets are redacted.
type Change struct {
	Key, Old, New string
}

// String returns "key: old -> new".
func (c Change) String() string {
	return c.Key + ": " + c.Old + " -> " + c.New
}

// Diff returns the keys whose values differ, in the order of the schema. The origin of a value does not count.
func Diff(before, after *Loaded) []Change {
	var changes []Change
	for _, v := range after.Values {
		was, known := before.Get(v.Key)
		if known && *was.exact == *v.exact {
			continue
		}
		change := Change{Key: v.Key, Old: was.Text, New: v.Text}
		if change.Old == change.New {
			change.New += " (the hidden part changed)"
		}
		changes = append(changes, change)
	}
	return changes
}

func newValue(f field, data any, origin Origin) Value {
	exact := literal(data)
	v := Value{Key: f.key, Variable: f.variable, Data: data, Origin: origin, exact: &exact}
	if text, ok := data.(string); ok && f.secret {
		v.Data = f.redact(text)
	}
	v.Text = literal(v.Data)
	return v
}

// literal writes a value as TOML.
func literal(value any) string {
	switch v := value.(type) {
	case string:
		return quote(v)
	case []string:
		quoted := make([]string, len(v))
		for i, s := range v {
			quoted[i] = quote(s)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	case []map[string]any:
		tables := make([]string, len(v))
		for i, element := range v {
			var pairs []string
			for _, key := range slices.Sorted(maps.Keys(element)) {
				pairs = append(pairs, key+" = "+literal(element[key]))
			}
			tables[i] = "{" + strings.Join(pairs, ", ") + "}"
		}
		return "[" + strings.Join(tables, ", ") + "]"
	default:
		return fmt.Sprint(v)
	}
}

// quote writes a TOML basic string in ASCII, so that it cannot control a terminal.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f || r > 0x7e && !strconv.IsPrint(r):
			fmt.Fprintf(&b, `\U%08X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
