package sigma_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/sigma"
)

// A value of an event is compared by its text, and as a number if it is one.
func TestEventValueTypes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		item  string
		value any
		want  bool
	}{
		{"a: 7", 7, true},
		{"a: 7", int64(7), true},
		{"a: 7", 7.0, true},
		{"a: 0.5", 0.5, true},
		{"a: '0.5'", 0.5, true},
		{"a: 1e3", 1000.0, true},
		{"a: 7", uint16(7), true},          // by its fmt.Sprint form
		{"a: '[1 2]'", [2]int{1, 2}, true}, // likewise
		{"a: 2026-03-01*", time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), true},
		{"a|hour: 12", time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), true},
		{"a: true", true, true},
		{"a: 1", true, false},
		{"a: x", nil, false},
		{"a: x", []any{}, false},
		{"a|exists: true", []any{}, true},
		{"a: null", []any{}, false},
		{"a: null", []any{nil}, true},
		{"a: x", []any{"y", []any{"x"}}, true},
		{"a: x", fields{"b": "x"}, false},
		{"a.b.c: y", []any{fields{"b": fields{"c": "x"}}, fields{"b": fields{"c": "y"}}}, true},
		{"a.b.c: y", []any{fields{"b.c": "x"}, fields{"b": fields{"c": "y"}}}, true},
		{"a|hour: 12", "26-03-01 12:00", false},
	} {
		require.Equal(t, tt.want, satisfies(t, tt.item, fields{"a": tt.value}), "%s on %#v", tt.item, tt.value)
	}
}

// The nesting that is followed is bounded; deeper values are not found.
func TestEventNestingIsBounded(t *testing.T) {
	t.Parallel()
	nest := func(depth int) (name string, value any) {
		value = "x"
		for range depth {
			value = fields{"a": value}
		}
		return strings.Repeat("a.", depth-1) + "a", value.(fields)["a"]
	}
	for depth, want := range map[int]bool{3: true, 30: true, 40: false} {
		name, value := nest(depth)
		require.Equal(t, want, satisfies(t, name+": x", fields{"a": value}), "field in depth %d", depth)
		rs := compile(t, rule("  sel: [x]\n  condition: sel\n"), sigma.Options{})
		require.Equal(t, want, len(rs.Match(sigma.Event{Fields: sigma.FieldsOf(fields{"a": value})})) > 0, "keyword in depth %d", depth)
	}
	var list any = "x"
	for range 40 {
		list = []any{list}
	}
	require.False(t, satisfies(t, "a: x", fields{"a": list}))
}

func TestMatchedIsBounded(t *testing.T) {
	t.Parallel()
	var detection strings.Builder
	event := fields{}
	for i := range 40 {
		fmt.Fprintf(&detection, "    f%02d: x\n", i)
		event[fmt.Sprintf("f%02d", i)] = "x"
	}
	rs := compile(t, rule("  sel:\n"+detection.String()+"  condition: sel\n"), sigma.Options{})
	got := rs.Match(sigma.Event{Fields: sigma.FieldsOf(event)})
	require.Len(t, got, 1)
	require.Len(t, got[0].Matched, 32)
}

func TestMetaKey(t *testing.T) {
	t.Parallel()
	const id = "929a690e-bef0-4204-a928-ef5e620d6fcc"
	at := sigma.Source{File: "f.yml", Line: 3, Column: 1}
	for want, m := range map[string]sigma.Meta{
		id:          {ID: id, Name: "n", Source: at},
		"n":         {Name: "n", Source: at},
		"f.yml:3:1": {Title: "t", Source: at},
	} {
		require.Equal(t, want, m.Key())
	}
}
