package sigma_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/sigma"
)

// FuzzParse: no panic, and what parses compiles or is refused with places.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{whole, whole + filterText, correlated(countOfA), "a: &a [*a]", "---\n---\n", rule("  s: [a, {b|re: '('}]\n  condition: 1 of s*\n")} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		docs, err := sigma.Parse("f.yml", data)
		if err != nil {
			require.Nil(t, docs)
			var problem *sigma.ParseError
			require.ErrorAs(t, err, &problem)
			return
		}
		rs, err := sigma.Compile(docs, sigma.Options{})
		if err != nil {
			require.Contains(t, err.Error(), "f.yml:")
			return
		}
		ev := sigma.Event{Time: time.Unix(0, 0), Fields: sigma.FieldsOf(fields{"a": "b", "message": "c", "d": fields{"e": []any{1.5, nil}}})}
		c := rs.NewCorrelator()
		c.Observe(ev, rs.Match(ev))
		restored(t, rs, c)
	})
}

// FuzzCondition: no panic, and a condition means the same in brackets.
func FuzzCondition(f *testing.F) {
	for _, seed := range []string{"a", "not a and b or c", "1 of sel_*", "all of them", "((a))", "a | count() > 1", "2 of *"} {
		f.Add(seed, uint8(5))
	}
	f.Fuzz(func(t *testing.T, condition string, present uint8) {
		docs, err := sigma.Parse("f.yml", []byte(conditionRule(strconv.QuoteToASCII(condition))))
		if err != nil {
			return
		}
		again, err := sigma.Parse("f.yml", []byte(conditionRule(strconv.QuoteToASCII("("+condition+")"))))
		if err != nil {
			require.ErrorContains(t, err, "nested deeper")
			return
		}
		var names []string
		for i, name := range []string{"a", "b", "c", "sel_1", "sel_2", "x-sel", "_hidden"} {
			if present&(1<<i) != 0 {
				names = append(names, name)
			}
		}
		ev := named(strings.Join(names, " "))
		require.Equal(t, count(t, docs, ev), count(t, again, ev))
	})
}

func count(t *testing.T, docs []sigma.Document, ev sigma.Event) int {
	t.Helper()
	rs, err := sigma.Compile(docs, sigma.Options{})
	require.NoError(t, err)
	return len(rs.Match(ev))
}

// FuzzMatch: no panic, and patterns agree with a plain matcher by dynamic
// programming, which has nothing in common with the real one.
func FuzzMatch(f *testing.F) {
	for _, seed := range [][2]string{{"a*b?c", "axxbyc"}, {`\*\\*`, `*\x`}, {"*", ""}, {"?ä*", "xÄy"}, {"\xff*", "\xff\xfe"}, {"**a?*", "ba"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, value string) {
		if len(pattern) > 100 || len(value) > 1000 {
			return
		}
		pattern, value = string([]rune(pattern)), string([]rune(value)) // valid UTF-8
		quoted := strconv.QuoteToASCII(pattern)                         // YAML folds some characters if they stand plain
		docs, err := sigma.Parse("f.yml", []byte(rule("  s:\n    a|cased: "+quoted+"\n  condition: s\n")))
		if err != nil {
			return // characters that YAML refuses
		}
		rs, err := sigma.Compile(docs, sigma.Options{})
		require.NoError(t, err)
		got := len(rs.Match(sigma.Event{Fields: sigma.FieldsOf(fields{"a": value})})) > 0
		require.Equal(t, plainMatch(pattern, value), got, "%q on %q", pattern, value)
	})
}

// plainMatch reads the pattern by the text of the specification.
func plainMatch(pattern, value string) bool {
	type symbol struct {
		char rune
		wild bool
	}
	var symbols []symbol
	chars := []rune(pattern)
	for i := 0; i < len(chars); i++ {
		switch c := chars[i]; {
		case c == '\\' && i+1 < len(chars) && strings.ContainsRune(`*?\`, chars[i+1]):
			i++
			symbols = append(symbols, symbol{chars[i], false})
		default:
			symbols = append(symbols, symbol{c, c == '*' || c == '?'})
		}
	}
	text := []rune(value)
	reach := make([]bool, len(text)+1) // reach[j]: the symbols so far match text[:j]
	reach[0] = true
	for _, s := range symbols {
		next := make([]bool, len(text)+1)
		for j := range next {
			switch {
			case s.wild && s.char == '*':
				next[j] = reach[j] || j > 0 && next[j-1]
			case j > 0:
				next[j] = reach[j-1] && (s.wild || s.char == text[j-1])
			}
		}
		reach = next
	}
	return reach[len(text)]
}

// FuzzRestore checks that no snapshot panics, and that a restored correlator works.
func FuzzRestore(f *testing.F) {
	docs, err := sigma.Parse("f.yml", []byte(correlated(countOfA)))
	require.NoError(f, err)
	rs, err := sigma.Compile(docs, sigma.Options{})
	require.NoError(f, err)
	c := rs.NewCorrelator()
	play(rs, c, steps("0:a/1 1:a/1 2:a/1 5:a/2"))
	data, err := c.Snapshot()
	require.NoError(f, err)
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		c := rs.NewCorrelator()
		if c.Restore(data) == nil {
			play(rs, c, steps("0:a/1 1:a/1 50:a/1 2:a/2"))
			_, err := c.Snapshot()
			require.NoError(t, err)
		}
	})
}
