package suite

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/config"
)

const mutations = 500

// mutant is a damaged copy of the example, and the one problem it must be refused with.
type mutant struct {
	kind, text   string
	line, column int
	key          string // empty for a syntax error
}

// target is one line "key = value" of the example, counted from 0.
type target struct {
	section, name, value string
	line                 int
}

func (t target) key() string { return t.section + "." + t.name }

// valueColumn is where the value begins.
func (t target) valueColumn() int { return len(t.name) + len(" = ") + 1 }

// mutator damages the example with every module enabled, so that every section is validated.
type mutator struct {
	random  *rand.Rand
	lines   []string
	targets []target
	headers []int
}

func newMutator(t testing.TB) *mutator {
	text := strings.ReplaceAll(example(t), "\nenabled = false\n", "\nenabled = true\n")
	m := &mutator{random: rand.New(rand.NewPCG(7, 11)), lines: strings.Split(text, "\n")}
	section := ""
	for i, line := range m.lines {
		name, value, pair := strings.Cut(line, " = ")
		switch {
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]")
			m.headers = append(m.headers, i)
		case pair && !strings.HasPrefix(line, "#"):
			m.targets = append(m.targets, target{section: section, name: name, value: value, line: i})
		}
	}
	return m
}

// pick returns a random key whose value is written on one line and begins with one of the given characters.
func (m *mutator) pick(first string) target {
	for {
		t := m.targets[m.random.IntN(len(m.targets))]
		if strings.ContainsAny(t.value[:1], first) && t.value != "[" {
			return t
		}
	}
}

func (m *mutator) replaced(line int, with ...string) string {
	lines := append([]string{}, m.lines[:line]...)
	return strings.Join(append(append(lines, with...), m.lines[line+1:]...), "\n")
}

func oneOf(random *rand.Rand, choices ...string) string { return choices[random.IntN(len(choices))] }

const (
	anyValue = `"tf0123456789[`
	digits   = "0123456789"
)

func (m *mutator) unknownKey() mutant {
	t := m.pick(anyValue)
	at := m.random.IntN(len(t.name))
	name := t.name[:at] + oneOf(m.random, "x", "q", "zz", "_9") + t.name[at:]
	return mutant{text: m.replaced(t.line, name+" = "+t.value), line: t.line + 1, column: 1, key: t.section + "." + name}
}

func (m *mutator) foreignKey() mutant {
	t := m.pick(anyValue)
	name := oneOf(m.random, "no_such_key", "rules_dir", "endpoint", "port")
	return mutant{text: m.replaced(t.line, name+" = 1", m.lines[t.line]), line: t.line + 1, column: 1, key: t.section + "." + name}
}

func (m *mutator) misspeltSection() mutant {
	line := m.headers[m.random.IntN(len(m.headers))]
	name := strings.Trim(m.lines[line], "[]") + oneOf(m.random, "s", "x", "_2")
	return mutant{text: m.replaced(line, "["+name+"]"), line: line + 1, column: 2 + strings.LastIndex(name, ".") + 1, key: name}
}

func (m *mutator) listOfSections() mutant {
	line := m.headers[m.random.IntN(len(m.headers))]
	name := strings.Trim(m.lines[line], "[]")
	return mutant{text: m.replaced(line, "[["+name+"]]"), line: line + 1, column: 3 + strings.LastIndex(name, ".") + 1, key: name}
}

func (m *mutator) sectionTwice() mutant {
	name := strings.Trim(m.lines[m.headers[m.random.IntN(len(m.headers))]], "[]")
	at := m.headers[len(m.headers)-1]
	if name == strings.Trim(m.lines[at], "[]") {
		return m.sectionTwice()
	}
	return mutant{text: m.replaced(len(m.lines)-1, "["+name+"]"), line: len(m.lines), column: 2 + strings.LastIndex(name, ".") + 1, key: name}
}

func (m *mutator) wrongType() mutant {
	t := m.pick(anyValue)
	wrong := map[byte][]string{
		'"': {"12", "true", "1.5", `["x"]`, "2026-01-01"},
		't': {"1", `"true"`, "0.0"},
		'f': {"0", `"false"`, "[]"},
		'[': {`"syslog"`, "7", "true", "{ a = 1 }"},
	}[t.value[0]]
	if wrong == nil {
		wrong = []string{`"5"`, "5.0", "1e3", "true", "[1]", "07:32:00"}
	}
	return m.value(t, oneOf(m.random, wrong...))
}

func (m *mutator) outOfRange() mutant {
	t := m.pick(digits)
	low := "0"
	if m.allowsZero(t) {
		low = "-2"
	}
	return m.value(t, oneOf(m.random, low, "-1", "-9223372036854775808", "9223372036854775807", "99999999999999999999", "0x7fffffffffff0000"))
}

// allowsZero reports whether 0 is the value of t, or allowed as the comment above it says.
func (m *mutator) allowsZero(t target) bool {
	comment := ""
	for line := t.line - 1; line >= 0 && strings.HasPrefix(m.lines[line], "#"); line-- {
		comment = strings.TrimPrefix(m.lines[line], "#") + comment
	}
	return t.value == "0" || strings.Contains(comment, "Allowed: 0")
}

func (m *mutator) badText() mutant {
	return m.value(m.pick(`"`), oneOf(m.random, `"b@d value"`, `'b@d \ value'`, `"B@D\u0009value"`, `"../up x"`))
}

func (m *mutator) value(t target, value string) mutant {
	return mutant{text: m.replaced(t.line, t.name+" = "+value), line: t.line + 1, column: t.valueColumn(), key: t.key()}
}

func (m *mutator) keyTwice() mutant {
	t := m.pick(anyValue)
	return mutant{text: m.replaced(t.line, m.lines[t.line], m.lines[t.line]), line: t.line + 2, column: 1, key: t.key()}
}

// badElement damages one element of a list; those of watch_paths stand on lines of their own.
func (m *mutator) badElement() mutant {
	bad := oneOf(m.random, "7", "true", `"b@d/../value"`, "[]")
	if m.random.IntN(2) == 0 {
		t := m.pick("[")
		column := t.valueColumn() + 1
		list := "[" + bad + "]"
		if good := strings.Trim(t.value, "[]"); good != "" && m.random.IntN(2) == 0 {
			list, column = "["+good+", "+bad+"]", column+len(good)+2
		}
		if bad == "[]" {
			column = t.valueColumn() // a list within a list is known by the outer one
		}
		return mutant{text: m.replaced(t.line, t.name+" = "+list), line: t.line + 1, column: column, key: t.key()}
	}
	var lines []int
	for i, line := range m.lines {
		if strings.HasPrefix(line, "  \"") {
			lines = append(lines, i)
		}
	}
	line := lines[m.random.IntN(len(lines))]
	if bad == "[]" {
		bad = "8"
	}
	return mutant{text: m.replaced(line, "  "+bad+","), line: line + 1, column: 3, key: "log_pipeline.watch_paths"}
}

// brokenSyntax is refused where the reader gave up.
func (m *mutator) brokenSyntax() mutant {
	t := m.pick(anyValue)
	breaks := []struct {
		text   string
		column int
	}{
		{t.name + " = ", t.valueColumn()},
		{t.name + " " + t.value, len(t.name) + 2},
		{t.name + " = @", t.valueColumn()},
		{t.name + " = tru", t.valueColumn()},
		{t.name + ` = "no end`, len(t.name) + 3 + len(` "no end`)},
		{t.name + " = 1 2", t.valueColumn()},
		{"= 1", 1},
		{"[" + t.section, len(t.section) + 2},
		{t.name + ` = "\q"`, t.valueColumn() + 1},
	}
	b := breaks[m.random.IntN(len(breaks))]
	return mutant{text: m.replaced(t.line, b.text), line: t.line + 1, column: b.column}
}

func (m *mutator) mutate() mutant {
	kinds := []struct {
		name string
		make func() mutant
	}{
		{"unknown key", m.unknownKey},
		{"foreign key", m.foreignKey},
		{"misspelt section", m.misspeltSection},
		{"list of sections", m.listOfSections},
		{"section twice", m.sectionTwice},
		{"wrong type", m.wrongType},
		{"out of range", m.outOfRange},
		{"bad text", m.badText},
		{"key twice", m.keyTwice},
		{"bad element", m.badElement},
		{"broken syntax", m.brokenSyntax},
	}
	k := kinds[m.random.IntN(len(kinds))]
	mutant := k.make()
	mutant.kind = k.name
	return mutant
}

// TestMutatedExamplesAreRefusedAtTheRightPlace damages the example in different ways, each refused with exactly one problem at the line,
// column and key that were damaged.
func TestMutatedExamplesAreRefusedAtTheRightPlace(t *testing.T) {
	t.Parallel()
	m := newMutator(t)
	_, _, err := loadAsRoot(write(t, strings.Join(m.lines, "\n")))
	require.NoError(t, err, "the undamaged text must be fine")
	seen := map[string]bool{}
	for len(seen) < mutations {
		mutant := m.mutate()
		if seen[mutant.text] {
			continue
		}
		seen[mutant.text] = true
		t.Run(fmt.Sprintf("%03d %s", len(seen), mutant.kind), func(t *testing.T) {
			requireRefused(t, mutant)
		})
	}
}

func requireRefused(t *testing.T, m mutant) {
	t.Helper()
	path := write(t, m.text)
	_, _, err := loadAsRoot(path)
	var refused *config.Error
	damaged := strings.Split(m.text, "\n")[m.line-1]
	require.ErrorAs(t, err, &refused, "accepted %q", damaged)
	require.Len(t, refused.Problems, 1, "%q: %v", damaged, err)
	got := refused.Problems[0]
	require.Equal(t, path, got.File)
	require.Equal(t, config.Position{Line: m.line, Column: m.column}, got.At, "%q: %v", damaged, err)
	require.Equal(t, m.key, got.Key, "%q: %v", damaged, err)
}
