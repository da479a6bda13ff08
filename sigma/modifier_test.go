package sigma_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/sigma"
)

// rule returns a rule with this detection, indented by two blanks.
func rule(detection string) string {
	return "title: test\nlogsource:\n  product: test\ndetection:\n" + detection
}

func compile(t testing.TB, yaml string, opts sigma.Options) *sigma.RuleSet {
	t.Helper()
	docs, err := sigma.Parse("test.yml", []byte(yaml))
	require.NoError(t, err, yaml)
	rs, err := sigma.Compile(docs, opts)
	require.NoError(t, err, yaml)
	return rs
}

// satisfies reports whether fields satisfy one item, such as "a|contains: b".
func satisfies(t testing.TB, entry string, fields map[string]any) bool {
	t.Helper()
	rs := compile(t, rule("  sel:\n    "+entry+"\n  condition: sel\n"), sigma.Options{})
	return len(rs.Match(sigma.Event{Fields: sigma.FieldsOf(fields)})) > 0
}

type fields = map[string]any

func TestModifiers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		entry  string
		fields fields
		want   bool
	}{
		{"plain ignores case", `a: FooBar`, fields{"a": "fOObAR"}, true},
		{"plain is whole", `a: foo`, fields{"a": "foobar"}, false},
		{"plain ignores case beyond ASCII", `a: ÄÖ`, fields{"a": "äö"}, true},
		{"list is or", `a: [x, y]`, fields{"a": "y"}, true},
		{"field list any", `a: y`, fields{"a": []any{"x", "y"}}, true},
		{"dotted field", `a.b: y`, fields{"a": fields{"b": "y"}}, true},
		{"dotted key wins", `a.b: y`, fields{"a": fields{"b": "z"}, "a.b": "y"}, true},
		{"dotted through list", `a.b: y`, fields{"a": []any{fields{"b": "x"}, fields{"b": "y"}}}, true},
		{"contains", `a|contains: oba`, fields{"a": "FOOBAR"}, true},
		{"contains not", `a|contains: obx`, fields{"a": "FOOBAR"}, false},
		{"contains number", `a|contains: 44`, fields{"a": int64(1443)}, true},
		{"startswith", `a|startswith: foo`, fields{"a": "FOOBAR"}, true},
		{"startswith not", `a|startswith: oo`, fields{"a": "FOOBAR"}, false},
		{"endswith", `a|endswith: bar`, fields{"a": "FOOBAR"}, true},
		{"endswith not", `a|endswith: ba`, fields{"a": "FOOBAR"}, false},
		{"all", `a|contains|all: [foo, bar]`, fields{"a": "bar foo"}, true},
		{"all not", `a|contains|all: [foo, bar]`, fields{"a": "bar fo"}, false},
		{"all before contains", `a|all|contains: [foo, bar]`, fields{"a": "bar fo"}, false},
		{"cased", `a|cased: Foo`, fields{"a": "Foo"}, true},
		{"cased not", `a|cased: Foo`, fields{"a": "foo"}, false},
		{"contains cased", `a|contains|cased: oO`, fields{"a": "FoOb"}, true},
		{"contains cased not", `a|contains|cased: oO`, fields{"a": "FooB"}, false},
		{"exists", `a|exists: true`, fields{"a": nil}, true},
		{"exists empty", `a|exists: true`, fields{"a": ""}, true},
		{"exists nested", `a.b|exists: true`, fields{"a": fields{"b": ""}}, true},
		{"exists map", `a|exists: true`, fields{"a": fields{"b": ""}}, true},
		{"exists not", `a|exists: true`, fields{"b": 1}, false},
		{"exists false", `a|exists: false`, fields{"b": 1}, true},
		{"exists false not", `a|exists: false`, fields{"a": nil}, false},
		{"null missing", `a: null`, fields{}, true},
		{"null nil", `a: null`, fields{"a": nil}, true},
		{"null empty", `a: null`, fields{"a": ""}, false},
		{"null value", `a: null`, fields{"a": "x"}, false},
		{"null in list", `a: [null, x]`, fields{}, true},
		{"empty", `a: ''`, fields{"a": ""}, true},
		{"empty is not missing", `a: ''`, fields{}, false},
		{"empty is not null", `a: ''`, fields{"a": nil}, false},
		{"empty is not text", `a: ''`, fields{"a": "x"}, false},
		{"neq", `a|neq: x`, fields{"a": "y"}, true},
		{"neq not", `a|neq: x`, fields{"a": "X"}, false},
		{"neq list", `a|neq: [x, y]`, fields{"a": "y"}, false},
		{"neq missing", `a|neq: x`, fields{}, true},
		{"neq number", `a|neq: 5`, fields{"a": int64(5)}, false},
		{"neq contains", `a|contains|neq: x`, fields{"a": "axb"}, false},
		{"windash dash", `a|windash|contains: ' -foo'`, fields{"a": "cmd /foo"}, true},
		{"windash slash", `a|windash|contains: ' /foo'`, fields{"a": "cmd -foo"}, true},
		{"windash en dash", `a|contains|windash: ' -foo'`, fields{"a": "cmd –foo"}, true},
		{"windash em dash", `a|contains|windash: ' -foo'`, fields{"a": "cmd —foo"}, true},
		{"windash horizontal bar", `a|contains|windash: ' -foo'`, fields{"a": "cmd ―foo"}, true},
		{"windash permutes", `a|contains|windash: '-a -b'`, fields{"a": "/a ―b"}, true},
		{"windash at the end", `a|windash|endswith: '-b'`, fields{"a": "x —b"}, true},
		{"windash inside a word", `a|windash: 'a-b'`, fields{"a": "a/b"}, false},
		{"windash other", `a|windash: '-b'`, fields{"a": "+b"}, false},
		{"re", `a|re: 'f.o$'`, fields{"a": "xfoo"}, true},
		{"re is cased", `a|re: 'f.o$'`, fields{"a": "xFOO"}, false},
		{"re i", `a|re|i: 'f.o$'`, fields{"a": "xFOO"}, true},
		{"re ignorecase", `a|re|ignorecase: 'f.o$'`, fields{"a": "xFOO"}, true},
		{"re without m", `a|re: '^b$'`, fields{"a": "a\nb\nc"}, false},
		{"re m", `a|re|m: '^b$'`, fields{"a": "a\nb\nc"}, true},
		{"re multiline", `a|re|multiline: '^b$'`, fields{"a": "a\nb\nc"}, true},
		{"re without s", `a|re: 'a.b'`, fields{"a": "a\nb"}, false},
		{"re s", `a|re|s: 'a.b'`, fields{"a": "a\nb"}, true},
		{"re dotall", `a|re|dotall: 'a.b'`, fields{"a": "a\nb"}, true},
		{"re i s", `a|re|i|s: 'a.b'`, fields{"a": "A\nB"}, true},
		{"re keeps backslashes", `a|re: '\\\*'`, fields{"a": `\*`}, true},
		{"re all", `a|re|all: ['a', 'b']`, fields{"a": "xb"}, false},
		{"re startswith", `a|re|startswith: 'a|b'`, fields{"a": "xb"}, false},
		{"re endswith", `a|re|endswith: 'a|b'`, fields{"a": "xb"}, true},
		{"base64", `a|base64: foobar`, fields{"a": "Zm9vYmFy"}, true},
		{"base64 contains", `a|base64|contains: foobar`, fields{"a": "x Zm9vYmFy"}, true},
		{"base64offset 0", `a|base64offset|contains: foobar`, fields{"a": "Zm9vYmFy"}, true},
		{"base64offset 1", `a|base64offset|contains: foobar`, fields{"a": "eGZvb2JhciE="}, true},
		{"base64offset 2", `a|base64offset|contains: foobar`, fields{"a": "eHhmb29iYXIh"}, true},
		{"base64offset not", `a|base64offset|contains: foobar`, fields{"a": "Zm9vYmF6"}, false},
		{"wide", `a|wide: cmd`, fields{"a": "c\x00m\x00d\x00"}, true},
		{"utf16le", `a|utf16le: cmd`, fields{"a": "c\x00m\x00d\x00"}, true},
		{"utf16be", `a|utf16be: cmd`, fields{"a": "\x00c\x00m\x00d"}, true},
		{"utf16", `a|utf16: cmd`, fields{"a": "\xff\xfec\x00m\x00d\x00"}, true},
		{"utf16 keeps the mark", `a|utf16: cmd`, fields{"a": "\xfe\xffc\x00m\x00d\x00"}, false},
		{"wide base64", `a|wide|base64: foobar`, fields{"a": "ZgBvAG8AYgBhAHIA"}, true},
		{"wide base64offset contains", `a|wide|base64offset|contains: ping`, fields{"a": "powershell -e cABpAG4AZwAg"}, true},
		{"utf16 base64offset", `a|utf16|base64offset|contains: foobar`, fields{"a": "//5mAG8AbwBiAGEAcgA="}, true},
		{"windash base64", `a|windash|base64: '-a'`, fields{"a": "L2E="}, true},
		{"lt", `a|lt: 10`, fields{"a": int64(9)}, true},
		{"lt not", `a|lt: 10`, fields{"a": int64(10)}, false},
		{"lte", `a|lte: 10`, fields{"a": int64(10)}, true},
		{"gt", `a|gt: 10`, fields{"a": 10.5}, true},
		{"gt not", `a|gt: 10`, fields{"a": int64(10)}, false},
		{"gte", `a|gte: 10`, fields{"a": "10"}, true},
		{"gte text", `a|gte: 10`, fields{"a": "ten"}, false},
		{"gte infinity", `a|gte: 10`, fields{"a": "+Inf"}, false},
		{"gte float", `a|gte: 1.5`, fields{"a": "1.50"}, true},
		{"big integers are exact", `a|gt: 9007199254740992`, fields{"a": int64(9007199254740993)}, true},
		{"number as text", `a: 4688`, fields{"a": "4688"}, true},
		{"number as float", `a: 4688`, fields{"a": 4688.0}, true},
		{"number in another spelling", `a: 5`, fields{"a": "5.0"}, true},
		{"text as number", `a: '4688'`, fields{"a": int64(4688)}, true},
		{"wildcard on number", `a: '46*'`, fields{"a": int64(4688)}, true},
		{"hex as written", `a: 0x10`, fields{"a": "0X10"}, true},
		{"hex as number", `a: 0x10`, fields{"a": int64(16)}, true},
		{"version as written", `a: 1.10`, fields{"a": "1.10"}, true},
		{"bool", `a: true`, fields{"a": true}, true},
		{"bool as text", `a: true`, fields{"a": "True"}, true},
		{"bool not", `a: true`, fields{"a": false}, false},
		{"minute", `a|minute: 40`, fields{"a": "2025-11-27T07:40:10.165324Z"}, true},
		{"hour", `a|hour: 7`, fields{"a": "2025-11-27 07:40:10.132"}, true},
		{"hour in its zone", `a|hour: 7`, fields{"a": "2025-11-27T07:40:10+05:00"}, true},
		{"hour gte", `a|hour|gte: 22`, fields{"a": "2025-11-27T23:40:10Z"}, true},
		{"hour gte not", `a|hour|gte: 22`, fields{"a": "2025-11-27T21:40:10Z"}, false},
		{"day", `a|day: 27`, fields{"a": "2025-11-27"}, true},
		{"week", `a|week: 48`, fields{"a": "2025-11-27"}, true},
		{"month", `a|month: 11`, fields{"a": "2025-11-27"}, true},
		{"year", `a|year: 2025`, fields{"a": "2025-11-27"}, true},
		{"year of no time", `a|year: 2025`, fields{"a": "2025"}, false},
		{"cidr", `a|cidr: 10.0.0.0/8`, fields{"a": "10.1.2.3"}, true},
		{"cidr not", `a|cidr: 10.0.0.0/8`, fields{"a": "11.1.2.3"}, false},
		{"cidr no address", `a|cidr: 10.0.0.0/8`, fields{"a": "10.x"}, false},
		{"cidr mapped", `a|cidr: 10.0.0.0/8`, fields{"a": "::ffff:10.1.2.3"}, true},
		{"cidr v6", `a|cidr: '2001:db8::/32'`, fields{"a": "2001:DB8::1"}, true},
		{"cidr v6 zone", `a|cidr: 'fe80::/10'`, fields{"a": "fe80::1%eth0"}, true},
		{"cidr single", `a|cidr: 10.0.0.1`, fields{"a": "10.0.0.1"}, true},
		{"cidr list", `a|cidr: [10.0.0.0/8, 192.168.0.0/16]`, fields{"a": "192.168.3.4"}, true},
		{"cidr all zero", `a|cidr: 0.0.0.0/0`, fields{"a": "::1"}, false},
		{"fieldref", `a|fieldref: b`, fields{"a": "x", "b": "X"}, true},
		{"fieldref not", `a|fieldref: b`, fields{"a": "x", "b": "y"}, false},
		{"fieldref missing", `a|fieldref: b`, fields{"a": "x"}, false},
		{"fieldref cased", `a|fieldref|cased: b`, fields{"a": "x", "b": "X"}, false},
		{"fieldref neq", `a|fieldref|neq: b`, fields{"a": "x", "b": "y"}, true},
		{"fieldref neq not", `a|neq|fieldref: b`, fields{"a": "x", "b": "x"}, false},
		{"fieldref startswith", `a|fieldref|startswith: b`, fields{"a": "foobar", "b": "foo"}, true},
		{"fieldref endswith", `a|fieldref|endswith: b`, fields{"a": "foobar", "b": "bar"}, true},
		{"fieldref contains", `a|fieldref|contains: b`, fields{"a": "foobar", "b": "oba"}, true},
		{"fieldref contains not", `a|fieldref|contains: b`, fields{"a": "oba", "b": "foobar"}, false},
		{"fieldref is no pattern", `a|fieldref: b`, fields{"a": "xy", "b": "x*"}, false},
		{"percent without expand", `a: '%x%'`, fields{"a": "%x%"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, satisfies(t, tt.entry, tt.fields), "%s on %v", tt.entry, tt.fields)
		})
	}
}

// The table "Escaping" of the specification, and what follows from it.
func TestWildcardsAndEscapes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pattern, value string
		want           bool
	}{
		{`a*c`, `abbbc`, true},
		{`a*c`, `ac`, true},
		{`a*c`, `acd`, false},
		{`*`, ``, true},
		{`*`, `x`, true},
		{`a?c`, `abc`, true},
		{`a?c`, `ac`, false},
		{`a?c`, `aäc`, true},
		{`?`, ``, false},
		{`?`, `ab`, false},
		{`?*`, ``, false},
		{`?*`, `a`, true},
		{`*?`, `ab`, true},
		{`*??*`, `a`, false},
		{`a*a`, `a`, false},
		{`a*b*c`, `aXbYc`, true},
		{`a*b*c`, `acb`, false},
		{`*b*`, `abc`, true},
		{`*b?d*`, `abbxbcdd`, true},
		{`a**b`, `ab`, true},
		{`*ab`, `aab`, true},
		{`*a?`, `aaab`, true},
		{`\*`, `*`, true},
		{`\*`, `\x`, false},
		{`\*`, `x`, false},
		{`\?`, `?`, true},
		{`\?`, `x`, false},
		{`\\*`, `\`, true},
		{`\\*`, `\abc`, true},
		{`\\*`, `abc`, false},
		{`\\?`, `\a`, true},
		{`\\?`, `\?`, true},
		{`\\\*`, `\*`, true},
		{`\\\*`, `\x`, false},
		{`\\\*`, `\\*`, false},
		{`\\\\`, `\\`, true},
		{`\\\\`, `\`, false},
		{`\\\\*`, `\\abc`, true},
		{`\\\\*`, `\abc`, false},
		{`\`, `\`, true},
		{`\\`, `\`, true},
		{`\a`, `\a`, true},
		{`\\a`, `\a`, true},
		{`\\\a`, `\\a`, true},
		{`\\\\a`, `\\a`, true},
		{`C:\Windows\*.exe`, `c:\windows*.exe`, true}, // \* is a plain star
		{`C:\Windows\\*.exe`, `c:\windows\cmd.exe`, true},
	} {
		got := satisfies(t, "a: '"+tt.pattern+"'", fields{"a": tt.value})
		require.Equal(t, tt.want, got, "%s on %s", tt.pattern, tt.value)
	}
}

func TestModifierProblemsAreReported(t *testing.T) {
	t.Parallel()
	for entry, want := range map[string]string{
		`a|foo: x`:                `there is no modifier "foo"`,
		`a|all: x`:                "at least two values",
		`a|contains|all: [x]`:     "at least two values",
		`a|exists: yes please`:    "exists needs exactly one value",
		`a|exists: [true, false]`: "exists needs exactly one value",
		`a|exists|neq: true`:      "no other modifier",
		`a|lt: x`:                 "lt needs a number",
		`a|gt|lt: 5`:              "cannot be combined",
		`a|hour: 24`:              "from 0 to 23",
		`a|month: 1.5`:            "whole number",
		`a|i: x`:                  "must come after re",
		`a|i|re: x`:               "must come after re",
		`a|re: '('`:               "missing closing",
		`a|re: '(?=x)'`:           "no lookaround",
		`a|contains|re: x`:        "must come before",
		`a|re|cased: x`:           "case-sensitive",
		`a|cidr: 10.0.0.1/8`:      "write 10.0.0.0/8",
		`a|cidr: nowhere`:         "is no network",
		`a|base64: 'x*'`:          "wildcards",
		`a|contains|base64: x`:    "wildcards",
		`a|contains|contains: x`:  "given twice",
		`a|neq|all: [x, y]`:       "cannot be used",
		`a|contains: null`:        "needs a string",
		`a|: x`:                   "there is no modifier",
		`a: {b: c}`:               "not a map",
		`a: []`:                   "empty list",
		`a: [[x]]`:                "not a list",
		`a: .inf`:                 "out of range",
		`'|cidr': 10.0.0.0/8`:     "needs a field name",
		`'|all': ['', x]`:         "empty keyword",
		`'': x`:                   "field name is empty",
		`a: &x y`:                 "anchors and aliases",
		`a: !!binary aGk=`:        "tag",
	} {
		_, err := sigma.Parse("f.yml", []byte(rule("  sel:\n    "+entry+"\n  condition: sel\n")))
		require.ErrorContains(t, err, want, entry)
		require.True(t, strings.HasPrefix(err.Error(), "f.yml:"), err)
	}
}

// The message says at which value or key of which search identifier.
func TestModifierProblemsHavePositions(t *testing.T) {
	t.Parallel()
	for item, want := range map[string]string{
		"a|lt: [1, x]":           "f.yml:6:15: search identifier sel, a|lt: lt needs a number",
		"a|re: [x, '(']":         "f.yml:6:15: search identifier sel, a|re: error parsing regexp",
		"  a|hour: 24":           "f.yml:6:15: search identifier sel, a|hour: hour must be a whole number from 0 to 23",
		"a|contains|foo: x":      "f.yml:6:5: search identifier sel, a|contains|foo: there is no modifier",
		"a|hour|day: 1":          "f.yml:6:5: search identifier sel, a|hour|day: modifiers hour and day cannot be combined",
		"a|gt|all: [1, 2]":       "f.yml:6:5: search identifier sel, a|gt|all: all cannot be used with gt",
		"a|fieldref: 5":          "f.yml:6:17: search identifier sel, a|fieldref: fieldref needs a plain string",
		"a|wide|cidr: x":         "f.yml:6:18: search identifier sel, a|wide|cidr: cidr needs a plain string",
		"a|cidr: 10.0.0.0/99":    "f.yml:6:13: search identifier sel, a|cidr:",
		"a|cidr: 'fe80::1%eth0'": "f.yml:6:13: search identifier sel, a|cidr:",
		"a|windash: null":        "f.yml:6:16: search identifier sel, a|windash: windash needs a string",
		"a|re: null":             "f.yml:6:11: search identifier sel, a|re: re needs a string",
		"a|base64offset: ''":     "f.yml:6:21: search identifier sel, a|base64offset: the value is too short",
		"'|contains': [null]":    "f.yml:6:19: search identifier sel, |contains: contains needs a string",
		"'|neq': x":              "f.yml:6:5: search identifier sel, |neq: needs a field name",
		"'|exists': true":        "f.yml:6:5: search identifier sel, |exists: needs a field name",
		"a|re: '" + strings.Repeat("x", 8193) + "'":             "f.yml:6:11: search identifier sel, a|re: the regular expression has 8193 bytes, allowed are 8192",
		"a|windash|base64: '" + strings.Repeat(" -x", 12) + "'": "f.yml:6:23: search identifier sel, a|windash|base64: base64 makes more than 4096 alternatives",
	} {
		_, err := sigma.Parse("f.yml", []byte(rule("  sel:\n    "+item+"\n  condition: sel\n")))
		require.ErrorContains(t, err, want, item)
	}
	for keywords, want := range map[string]string{
		"[null]":    "f.yml:5:9: search identifier sel: null cannot be a keyword",
		"[a, '']":   "f.yml:5:12: search identifier sel: an empty keyword would match every event",
		"[a, [b]]":  "f.yml:5:12: search identifier sel: a list cannot contain a list",
		"[{}]":      "f.yml:5:9: search identifier sel is empty",
		"[.inf]":    "f.yml:5:9: the number .inf is out of range",
		"{a: [{}]}": "f.yml:5:13: a value must be a string, a number, a boolean or null, not a map",
	} {
		_, err := sigma.Parse("f.yml", []byte(rule("  sel: "+keywords+"\n  condition: sel\n")))
		require.ErrorContains(t, err, want, keywords)
	}
}

// Encodings, in the order in which the modifiers are written.
func TestEncodings(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		item, value string
		want        bool
	}{
		{"a|base64|base64: foobar", "Wm05dlltRnk=", true},
		{"a|utf16be|base64: cmd", "AGMAbQBk", true},
		{"a|utf16|base64: cmd", "//5jAG0AZAA=", true},
		{"a|base64|wide: a", "Y\x00Q\x00=\x00=\x00", true},
		{"a|wide|contains: cmd", "xc\x00m\x00d\x00x", true},
		{"a|wide: 'c?d'", "c\x00md\x00", true}, // wildcards are not encoded
		{"a|base64: 5", "NQ==", true},
		{"a|base64: true", "dHJ1ZQ==", true},
		{"a|wide: 🙂", "=\xd8B\xde", true}, // a surrogate pair
		{"a|base64: Ä", "w4Q=", true},
		{"a|base64: Ä", "w6Q=", false}, // that is ä: the case counts before encoding
		{"a|base64|cased: foobar", "zm9VYmFy", false},
		{`a|base64: 'x\*'`, "eCo=", true}, // an escaped wildcard is plain text
	} {
		require.Equal(t, tt.want, satisfies(t, tt.item, fields{"a": tt.value}), "%s on %q", tt.item, tt.value)
	}
}

func TestExpand(t *testing.T) {
	t.Parallel()
	text := rule("  sel:\n    a|contains|expand: '\\%%who%-%x-1%'\n  condition: sel\n")
	docs, err := sigma.Parse("f.yml", []byte(text))
	require.NoError(t, err)
	_, err = sigma.Compile(docs, sigma.Options{})
	require.EqualError(t, err, `f.yml:6:24: search identifier sel, a|contains|expand: placeholder %who% has no value: the rule cannot be used without it`)

	rs, err := sigma.Compile(docs, sigma.Options{Placeholders: map[string][]string{"who": {"root", "adm*"}, "x-1": {"1", "2"}}})
	require.NoError(t, err)
	text = rule("  sel:\n    a|expand: '%a b% 100% %% \\\\%x-1%'\n  condition: sel\n") // only the last one is a placeholder
	special := compile(t, text, sigma.Options{Placeholders: map[string][]string{"x-1": {"1"}}})
	require.Len(t, special.Match(sigma.Event{Fields: sigma.FieldsOf(fields{"a": `%a b% 100% %% \1`})}), 1)

	many := rule("  sel:\n    a|expand: '%x%%x%%x%%x%'\n  condition: sel\n")
	docs, err = sigma.Parse("f.yml", []byte(many))
	require.NoError(t, err)
	_, err = sigma.Compile(docs, sigma.Options{Placeholders: map[string][]string{"x": strings.Fields("1 2 3 4 5 6 7 8 9")}})
	require.ErrorContains(t, err, "placeholders make more than 4096 alternatives")

	for value, want := range map[string]int{"a %root-2 b": 1, "%admin-1": 1, "%root-3": 0, "root-1": 0, "%who%-1": 0} {
		require.Len(t, rs.Match(sigma.Event{Fields: sigma.FieldsOf(fields{"a": value})}), want, value)
	}
}
