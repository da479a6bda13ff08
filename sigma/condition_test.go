package sigma_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/sigma"
)

// conditionRule returns a rule whose search identifiers are true if the event has
// a field of their name.
func conditionRule(condition string) string {
	var b strings.Builder
	for _, name := range []string{"a", "b", "c", "sel_1", "sel_2", "x-sel", "_hidden"} {
		fmt.Fprintf(&b, "  %s:\n    %s|exists: true\n", name, name)
	}
	return rule(b.String() + "  condition: " + condition + "\n")
}

func TestConditions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		condition, true, false string // names of fields, separated by blanks
	}{
		{"a", "a", "b"},
		{"a and b", "a b", "a"},
		{"a or b", "b", "c"},
		{"not a", "b", "a"},
		{"not not a", "a", "b"},
		{"a or b and c", "a", "b"},
		{"(a or b) and c", "a c", "a"},
		{"not a and b", "b", "a b"},
		{"not (a and b)", "a", "a b"},
		{"not a or b", "a b", "a"},
		{"a and not b or c", "b c", "a b"},
		{"1 of sel_*", "sel_2", "a"},
		{"any of sel_*", "sel_2", "a"},
		{"all of sel_*", "sel_1 sel_2", "sel_1"},
		{"2 of *sel*", "x-sel sel_2", "sel_2"},
		{"all of *sel*", "x-sel sel_1 sel_2", "sel_1 sel_2"},
		{"1 of s*_2", "sel_2", "sel_1"},
		{"1 of a", "a", "b"},
		{"1 of them", "c", "_hidden"},
		{"all of them", "a b c sel_1 sel_2 x-sel", "a b c sel_1 sel_2"},
		{"1 of _*", "_hidden", "a"},
		{"not 1 of sel_*", "a", "sel_1"},
		{"a and not 1 of sel_* and b", "a b", "a b sel_1"},
		{"a AND NOT b", "a", "a b"},
		{"[a, b]", "b", "c"},
		{"[a and b, c]", "a b", "a"},
		{"not (a or b) and c", "c", "a c"},
		{"a and (b or (c and not sel_1))", "a c", "a c sel_1"},
		{"a or b and not c or sel_1", "b", "b c"},
		{"3 of them", "a b c", "a b"},
		{"2 of sel_* or a", "a", "sel_1"},
		{"1 of *_1", "sel_1", "sel_2"},
		{"NOT a Or a And b", "a b", "a"},
		{"|\n    a and\n    b", "a b", "a"},
		{"  ( ( a ) )  ", "a", "b"},
	} {
		rs := compile(t, conditionRule(tt.condition), sigma.Options{})
		require.Len(t, rs.Match(named(tt.true)), 1, "%s on %s", tt.condition, tt.true)
		require.Empty(t, rs.Match(named(tt.false)), "%s on %s", tt.condition, tt.false)
	}
}

func named(names string) sigma.Event {
	ev := sigma.Event{}
	for name := range strings.FieldsSeq(names) {
		ev.Fields.Set(name, sigma.Text("1"))
	}
	return ev
}

func TestConditionProblemsHaveColumns(t *testing.T) {
	t.Parallel()
	for condition, want := range map[string]string{
		"a and":                             ":19:19: condition ends too early",
		"a nothere":                         `:19:16: condition: unexpected "nothere"`,
		"a and nothere":                     `:19:20: condition: there is no search identifier "nothere", defined are a, b`,
		"'a and nothere'":                   `:19:21: condition: there is no search identifier`,
		"a | count() > 5":                   ":19:16: condition: aggregations after a pipe were removed",
		"(a or b":                           ":19:21: condition: expected )",
		"a)":                                ":19:15: condition: unexpected",
		"1 of nope*":                        ":19:19: condition: no search identifier matches",
		"3 of sel_*":                        ":19:14: condition: 3 of sel_* can never be true",
		"0 of sel_*":                        ":19:14: condition: \"0\" of",
		"some of them":                      ":19:14: condition: \"some\" of",
		"1 of":                              ":19:18: condition: expected them",
		"a & b":                             ":19:16: condition: unexpected character",
		"''":                                "condition ends too early",
		"5":                                 "condition must be a string",
		"[a, b and]":                        ":19:23: condition ends too early",
		"\"a and zz\"":                      ":19:21: condition: there is no search identifier",
		"|\n    a and\n    zz":              `condition: there is no search identifier "zz"`,
		"a or not":                          ":19:22: condition ends too early",
		"all of (a)":                        ":19:21: condition: expected them",
		"a b":                               `:19:16: condition: unexpected "b", expected and, or, or the end`,
		"-1 of sel_*":                       `:19:14: condition: "-1" of: expected all, any or a number from 1`,
		"1.5 of sel_*":                      `:19:14: condition: "1.5" of`,
		"a ä b":                             ":19:16: condition: unexpected character 'ä'",
		"them":                              `:19:14: condition: there is no search identifier "them"`,
		strings.Repeat("a or ", 1700) + "a": "condition is longer than 8192 bytes",
		"[]":                                "empty list",
		strings.Repeat("(", 70) + "a":       "nested deeper",
	} {
		_, err := sigma.Parse("f.yml", []byte(conditionRule(condition)))
		require.ErrorContains(t, err, want, condition)
	}
}

func TestDetectionShapes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, search string
		yes, no      fields
	}{
		{"map is and", "{x: 1, y: 2}", fields{"x": 1, "y": 2}, fields{"x": 1}},
		{"list of maps is or", "[{x: 1, z: 3}, {y: 2}]", fields{"y": 2}, fields{"x": 1}},
		{"keyword", "[evil, worse]", fields{"f": "some WORSE thing"}, fields{"f": "good"}},
		{"keyword in message", "[evil]", fields{"message": "an evil thing"}, fields{"evil": "x"}},
		{"keyword nested", "[evil]", fields{"a": fields{"b": []any{"x", "evil"}}}, fields{"a": fields{"evil": "x"}}},
		{"keyword with wildcard", "['ev*l']", fields{"f": "xx evXXl xx"}, fields{"f": "ev"}},
		{"keyword number", "[1102]", fields{"id": int64(1102)}, fields{"id": int64(7)}},
		{"keywords all", "{'|all': [evil, worse]}", fields{"f": "evil", "g": "worse"}, fields{"f": "evil"}},
		{"keywords re", "{'|re': 'ev.l$'}", fields{"f": "xx evil"}, fields{"f": "evil x"}},
		{"keywords cased", "{'|cased': [Evil]}", fields{"f": "xx Evil x"}, fields{"f": "evil x"}},
		{"keywords contains all", "{'|contains|all': [evil, worse]}", fields{"f": "worse evil"}, fields{"f": "evil"}},
		{"keywords and maps", "[evil, {x: 1}]", fields{"x": 1}, fields{"f": "good"}},
		{"keyword base64offset", "{'|base64offset': [foobar]}", fields{"f": "xx eGZvb2JhciE= xx"}, fields{"f": "x"}},
	} {
		rs := compile(t, rule("  sel: "+tt.search+"\n  condition: sel\n"), sigma.Options{})
		require.Len(t, rs.Match(sigma.Event{Fields: sigma.FieldsOf(tt.yes)}), 1, tt.name)
		require.Empty(t, rs.Match(sigma.Event{Fields: sigma.FieldsOf(tt.no)}), tt.name)
	}
}

func TestLogsourceRouting(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		rule  string
		event sigma.Logsource
		want  int
	}{
		{"{product: linux, service: sshd}", sigma.Logsource{Product: "linux", Service: "sshd"}, 1},
		{"{product: linux, service: sshd}", sigma.Logsource{Product: "linux", Service: "sudo"}, 0},
		{"{product: linux, service: sshd}", sigma.Logsource{Product: "linux"}, 1},
		{"{product: linux, service: sshd}", sigma.Logsource{}, 1},
		{"{product: linux}", sigma.Logsource{Product: "linux", Service: "sudo", Category: "x"}, 1},
		{"{product: Linux}", sigma.Logsource{Product: "linux"}, 1},
		{"{category: webserver}", sigma.Logsource{Product: "nginx", Category: "webserver"}, 1},
		{"{category: webserver}", sigma.Logsource{Category: "proxy"}, 0},
		{"{category: webserver}", sigma.Logsource{Product: "linux"}, 1},
	} {
		text := "title: t\nlogsource: " + tt.rule + "\ndetection: {sel: {a: b}, condition: sel}\n"
		rs := compile(t, text, sigma.Options{})
		require.Len(t, rs.Match(sigma.Event{Logsource: tt.event, Fields: sigma.FieldsOf(fields{"a": "b"})}), tt.want, "%s for %v", tt.rule, tt.event)
	}
}

func TestMatchExplainsItself(t *testing.T) {
	t.Parallel()
	rs := compile(t, rule(`  sel:
    Image|endswith: ['\sh', '\bash']
    User|neq: root
  other: {x: y}
  filter: {Image: z}
  kw: ["curl*|"]
  condition: (sel or other) and kw and not filter
`), sigma.Options{})
	got := rs.Match(sigma.Event{Fields: sigma.FieldsOf(fields{"Image": `c:\BASH`, "User": "bob", "message": "CURL http://x | sh"})})
	require.Len(t, got, 1)
	require.Equal(t, []sigma.Matched{
		{Field: "Image", Value: `c:\BASH`, Why: `sel: Image|endswith "\\bash"`},
		{Field: "User", Value: "bob", Why: `sel: User|neq "root"`},
		{Field: "message", Value: "CURL http://x | sh", Why: `kw: keyword "curl*|"`},
	}, got[0].Matched)
}

func TestMatchExplanationIsBounded(t *testing.T) {
	t.Parallel()
	rs := compile(t, rule("  sel: {a|contains: ä}\n  condition: sel\n"), sigma.Options{})
	got := rs.Match(sigma.Event{Fields: sigma.FieldsOf(fields{"a": "x" + strings.Repeat("ä", 1000)})})
	require.Equal(t, "x"+strings.Repeat("ä", 255), got[0].Matched[0].Value)
}
