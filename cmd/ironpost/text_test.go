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

func TestCleanLeavesNothingForTheTerminal(t *testing.T) {
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

func FuzzCellAndLineAreHarmless(f *testing.F) {
	f.Add(hostile, 10)
	f.Add(`{"a":"`+"\u202e\U000e0041"+`"}`, 3)
	f.Fuzz(func(t *testing.T, text string, width int) {
		width = min(max(width, 0), 200)
		shown := cell(text, width)
		require.Equal(t, -1, strings.IndexFunc(shown, func(r rune) bool { return !unicode.IsPrint(r) }), "%q", shown)
		if width > 0 {
			require.LessOrEqual(t, utf8.RuneCountInString(shown), width)
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
