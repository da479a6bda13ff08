package main

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTableAlignsWideText(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	(&app{out: &output{w: &out}}).printTables(rows{
		columns: []column{{"NAME", 10}, {"V", 0}},
		cells:   [][]string{{"日本", "x"}, {"abcd", "y"}, {"é", "z"}},
	})
	require.Equal(t, "NAME  V\n日本  x\nabcd  y\né     z\n", out.String())
}

// On a terminal the last column is wrapped below itself, or below the whole row if
// the others leave too little room.
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

// Rows that come one by one are aligned; a very long cell moves no later row. The
// headings are printed once.
func TestLiveRowsAreAligned(t *testing.T) {
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

func TestColourFollowsFlag(t *testing.T) {
	t.Parallel()
	for when, on := range map[string]bool{"always": true, "never": false, "auto": false} {
		p, err := newPainter(when, os.Stdin)
		require.NoError(t, err)
		if when != "auto" {
			require.Equal(t, on, p.word("high") != "high")
		}
		require.Equal(t, "text", p.word("text"))
	}
}
