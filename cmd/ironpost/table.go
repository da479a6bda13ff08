package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"
)

// column is a heading and the most columns of a terminal its cells take; the last column
// of a table is not padded.
type column struct {
	name string
	most int
}

// table prints rows of text from anywhere; every cell goes through cell. On a terminal the last column is
// wrapped below itself, or, where there is little room for it, below the others.
type table struct {
	w       io.Writer
	paint   painter
	screen  int // columns of the terminal, 0 if it is none
	columns []column
	widths  []int
	begun   bool
}

// little is a width in which text cannot be read with ease.
const little = 24

// Columns of a table whose rows come one by one begin liveLeast wide, or with the most they take, and become
// at most liveMost wide: a longer cell moves the rest of its row, not that of all later ones.
const (
	liveLeast = 16
	liveMost  = 25 // a time with its zone
)

// newTable returns a table whose columns are as wide as rows need; rows that come later may widen them a little.
func (a *app) newTable(columns []column, rows [][]string) *table {
	t := &table{w: a.out, paint: a.paint, screen: screenWidth(a.out.w), columns: columns, widths: make([]int, len(columns))}
	for i, c := range columns {
		t.widths[i] = displayWidth(c.name)
		if len(rows) == 0 && i < len(columns)-1 {
			t.widths[i] = max(t.widths[i], min(c.most, liveLeast))
		}
	}
	for _, row := range rows {
		t.widen(row, math.MaxInt)
	}
	return t
}

// widen makes the columns as wide as cells need, all but the last at most most.
func (t *table) widen(cells []string, most int) {
	for i, c := range t.columns {
		need := displayWidth(cell(cells[i], c.most))
		if i < len(t.columns)-1 {
			need = min(need, most)
		}
		t.widths[i] = max(t.widths[i], need)
	}
}

// row prints one row, and the headings before the first.
func (t *table) row(cells []string) error {
	t.widen(cells, liveMost)
	if !t.begun {
		t.begun = true
		names := make([]string, len(t.columns))
		for i, c := range t.columns {
			names[i] = c.name
		}
		if err := t.line(names, painter{}); err != nil {
			return err
		}
	}
	return t.line(cells, t.paint)
}

func (t *table) line(cells []string, p painter) error {
	var b strings.Builder
	last := len(t.columns) - 1
	used := 0
	for i, c := range t.columns[:last] {
		text := cell(cells[i], c.most)
		pad := 2 + max(0, t.widths[i]-displayWidth(text))
		b.WriteString(p.word(text))
		b.WriteString(strings.Repeat(" ", pad))
		used += displayWidth(text) + pad
	}
	begin := b.String()
	text := cell(cells[last], t.columns[last].most)
	lines := []string{p.word(text)}
	if room := t.screen - used; t.screen > 0 && t.widths[last] > room {
		if room < little {
			used = 4
			begin = strings.TrimRight(begin, " ") + "\n" + strings.Repeat(" ", used)
		}
		lines = wrap(text, max(little, t.screen-used))
	}
	text = begin + strings.Join(lines, "\n"+strings.Repeat(" ", used))
	_, err := fmt.Fprintln(t.w, strings.TrimRight(text, " \n"))
	return err
}

// printTable prints rows at once.
func (a *app) printTable(columns []column, rows [][]string) error {
	t := a.newTable(columns, rows)
	for _, row := range rows {
		if err := t.row(row); err != nil {
			return err
		}
	}
	return nil
}

// painter colours the words of severities, phases and statuses; the zero value colours nothing.
type painter struct{ on bool }

// newPainter reads --color; auto means that w is a terminal and NO_COLOR is not set (no-color.org).
func newPainter(when string, w io.Writer) (painter, error) {
	switch when {
	case "always":
		return painter{on: true}, nil
	case "never":
		return painter{}, nil
	case "auto":
		return painter{on: os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && terminal(w)}, nil
	}
	return painter{}, fmt.Errorf("--color %q is none of auto, always, never", when)
}

// terminal reports whether w is a character device; /dev/null is one too, where colour does no harm.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// word colours text if it is a word with a meaning of its own (ECMA-48, SGR).
func (p painter) word(text string) string {
	if !p.on {
		return text
	}
	var code string
	switch text {
	case "critical", "unhealthy", "failed", "broken":
		code = "1;31"
	case "high":
		code = "31"
	case "medium", "degraded", "missing":
		code = "33"
	case "low", "skipped", "released":
		code = "36"
	case "healthy", "done", "intact":
		code = "32"
	default:
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
