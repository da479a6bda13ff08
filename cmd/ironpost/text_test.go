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

// What is wide takes two columns, a mark on a character none; no cell is wider than it may be.
func TestCellCountsColumns(t *testing.T) {
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

func TestTableAlignsWideText(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	(&app{out: &output{w: &out}}).printTables(rows{
		columns: []column{{"NAME", 10}, {"V", 0}},
		cells:   [][]string{{"日本", "x"}, {"abcd", "y"}, {"é", "z"}},
	})
	require.Equal(t, "NAME  V\n日本  x\nabcd  y\né     z\n", out.String())
}

// On a terminal the last column stays below itself, or goes below the others where they leave too little room.
func TestTableFitsTheTerminal(t *testing.T) {
	t.Parallel()
	columns := []column{{"MODULE", 40}, {"STATUS", 10}, {"WHY", 200}}
	rows := [][]string{
		{"bus", "healthy", ""},
		{"log-pipeline", "degraded", "the file /var/log/auth.log cannot be read: permission denied"},
		{"x", "off", "日本語日本語日本語日本語日本語日本語"},
	}
	for _, tt := range []struct {
		screen int
		want   string
	}{
		{50, `MODULE        STATUS    WHY
bus           healthy
log-pipeline  degraded  the file /var/log/auth.log
                        cannot be read: permission
                        denied
x             off       日本語日本語日本語日本語日
                        本語日本語
`},
		{44, `MODULE        STATUS
    WHY
bus           healthy
log-pipeline  degraded
    the file /var/log/auth.log cannot be
    read: permission denied
x             off
    日本語日本語日本語日本語日本語日本語
`},
		{0, `MODULE        STATUS    WHY
bus           healthy
log-pipeline  degraded  the file /var/log/auth.log cannot be read: permission denied
x             off       日本語日本語日本語日本語日本語日本語
`},
	} {
		var out strings.Builder
		table := (&app{out: &output{w: &out}}).newTable(columns, rows)
		table.screen = tt.screen
		for _, row := range rows {
			table.row(row)
		}
		require.Equal(t, tt.want, out.String(), "%d columns", tt.screen)
	}
}

// Rows that come one by one stand below each other; one that is very long moves no later
// one. The headings are never repeated.
func TestLiveRowsStandBelowEachOther(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	table := (&app{out: &output{w: &out}}).newTable([]column{{"A", 4}, {"B", 39}, {"C", 0}}, nil)
	for _, row := range [][]string{
		{"1", "10.0.0.1", "x"},
		{"1234", "192.168.178.200", "y"},
		{"2", "2001:db8:1:2:3:4:5:6", "z"},
		{"3", "2001:0db8:0001:0002:0003:0004:0005:0006", "u"},
		{"4", "10.0.0.2", "v"},
	} {
		table.row(row)
	}
	require.Equal(t, `A     B                 C
1     10.0.0.1          x
1234  192.168.178.200   y
2     2001:db8:1:2:3:4:5:6  z
3     2001:0db8:0001:0002:0003:0004:0005:0006  u
4     10.0.0.2                   v
`, out.String())
}

func TestCleanerShowsWhatATerminalWouldObey(t *testing.T) {
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
