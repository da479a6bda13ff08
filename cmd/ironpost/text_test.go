package main

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// hostile is what an attacker writes into a user name.
const hostile = "a\x1b[31m\x1b]0;owned\x07\r\nb\u202egnp\u200b\u0085\u009b2J\x00\xff\u2028|"

func TestCleanEscapesUnprintableCharacters(t *testing.T) {
	t.Parallel()
	require.Equal(t, `a\x1b[31m\x1b]0;owned\x07\x0d\nb\u202egnp\u200b\u0085\u009b2J\x00\xff\u2028|`, clean(hostile))
	require.Equal(t, "Grüße 世界 🙂", clean("Grüße 世界 🙂"))
}

func TestCellIsCut(t *testing.T) {
	t.Parallel()
	require.Equal(t, "ab…", cell("abcd", 3))
	require.Equal(t, "abc", cell("abc", 3))
	require.Equal(t, 20, utf8.RuneCountInString(cell(strings.Repeat("\x1b", 1<<20), 20)))
}

func FuzzCellAndJSONLineArePrintable(f *testing.F) {
	f.Add(hostile, 10)
	f.Add("日本e\u0301\u200d\u202e", 2)
	f.Add(`{"a":"`+"\u202e\U000e0041"+`"}`, 3)
	f.Fuzz(func(t *testing.T, text string, width int) {
		width = min(max(width, 0), 200)
		shown := cell(text, width)
		require.Equal(t, -1, strings.IndexFunc(shown, func(r rune) bool { return !unicode.IsPrint(r) }), "%q", shown)
		if width > 0 {
			require.LessOrEqual(t, displayWidth(shown), width)
		}
		raw, err := json.Marshal(map[string]string{"v": text})
		require.NoError(t, err)
		line, ok := jsonLine(raw)
		require.True(t, ok)
		require.Equal(t, -1, strings.IndexFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }), "%q", line)
		require.JSONEq(t, string(raw), line)
		if line, ok := jsonLine([]byte(text)); ok {
			require.True(t, json.Valid([]byte(line)), "%q became %q", text, line)
		}
	})
}

// Wide characters take two columns, combining marks none; no cell is wider than
// its limit.
func TestCellCountsTerminalColumns(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in    string
		width int
		want  string
	}{
		{"日本語", 6, "日本語"},
		{"日本語", 5, "日本…"},
		{"日本語", 4, "日…"},
		{"e\u0301te\u0301", 3, "e\u0301te\u0301"},
		{"😀😀", 3, "😀…"},
		{"a" + strings.Repeat("\u0301", 1000), 4, "a" + strings.Repeat("\u0301", 9) + "…"},
		{"한\x1b[2J", 80, `한\x1b[2J`},
	} {
		got := cell(tt.in, tt.width)
		require.Equal(t, tt.want, got, "%q", tt.in)
		require.LessOrEqual(t, displayWidth(got), tt.width)
	}
}

func TestCleanWriterEscapesAcrossWrites(t *testing.T) {
	t.Parallel()
	const text = "a\x1b[2Jb\nü\u009bc\u202ed\n"
	for size := 1; size <= len(text); size++ {
		var out strings.Builder
		c := &cleanWriter{w: &out}
		for rest := text; rest != ""; rest = rest[min(size, len(rest)):] {
			part := rest[:min(size, len(rest))]
			n, err := c.Write([]byte(part))
			require.NoError(t, err)
			require.Equal(t, len(part), n)
		}
		require.Equal(t, "a\\x1b[2Jb\nü\\u009bc\\u202ed\n", out.String(), "in parts of %d", size)
	}
}
