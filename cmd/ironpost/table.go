package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"
)

// column is a heading and the maximal width of its cells in terminal columns.
// The last column of a table is not padded.
type column struct {
	name string
	most int
}

// rows is a table whose rows are all known.
type rows struct {
	columns []column
	cells   [][]string
}

func (r *rows) add(cells ...string) { r.cells = append(r.cells, cells) }

// printTables prints the tables that have rows, with an empty line between
// them.
func (a *app) printTables(tables ...rows) {
	first := true
	for _, r := range tables {
		if len(r.cells) == 0 {
			continue
		}
		if !first {
			a.printf("")
		}
		first = false
		t := a.newTable(r.columns, r.cells)
		for _, cells := range r.cells {
			t.row(cells)
		}
	}
}

// table prints rows as they come. Every cell is cleaned and cut. On a terminal
// the last column is wrapped below itself, or below the whole row where less
// than minWrap columns are left for it.
type table struct {
	w       io.Writer
	paint   painter
	screen  int // columns of the terminal, 0 if there is none
	columns []column
	widths  []int
	begun   bool // the headings are printed
}

// minWrap is the smallest width in which a text is still easy to read.
const minWrap = 24

// A table that starts without rows has columns of minLive, or of their maximum
// if that is less. Later rows widen a column up to maxLive; a longer cell moves
// the rest of its own row only.
const (
	minLive = 16
	maxLive = 25 // a time with its zone
)

// newTable returns a table whose columns are wide enough for cells.
func (a *app) newTable(columns []column, cells [][]string) *table {
	t := &table{w: a.out, paint: a.paint, screen: terminalWidth(a.out.w), columns: columns, widths: make([]int, len(columns))}
	for i, c := range columns {
		t.widths[i] = displayWidth(c.name)
		if len(cells) == 0 && i < len(columns)-1 {
			t.widths[i] = max(t.widths[i], min(c.most, minLive))
		}
	}
	for _, row := range cells {
		t.widen(row, math.MaxInt)
	}
	return t
}

// widen makes the columns wide enough for cells, but those before the last at
// most limit.
func (t *table) widen(cells []string, limit int) {
	for i, c := range t.columns {
		need := displayWidth(cell(cells[i], c.most))
		if i < len(t.columns)-1 {
			need = min(need, limit)
		}
		t.widths[i] = max(t.widths[i], need)
	}
}

// row prints one row, and the headings before the first. The output remembers
// write errors.
func (t *table) row(cells []string) {
	t.widen(cells, maxLive)
	if !t.begun {
		t.begun = true
		names := make([]string, len(t.columns))
		for i, c := range t.columns {
			names[i] = c.name
		}
		t.print(names, painter{})
	}
	t.print(cells, t.paint)
}

func (t *table) print(cells []string, p painter) {
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
		if room < minWrap {
			used = 4
			begin = strings.TrimRight(begin, " ") + "\n" + strings.Repeat(" ", used)
		}
		lines = wrap(text, max(minWrap, t.screen-used))
	}
	text = begin + strings.Join(lines, "\n"+strings.Repeat(" ", used))
	_, _ = fmt.Fprintln(t.w, strings.TrimRight(text, " \n"))
}

// time formats t for a table or a message.
func (a *app) time(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	if a.utc {
		return t.UTC().Format(time.RFC3339)
	}
	return t.Local().Format(time.RFC3339)
}

// painter colours the words of severities, phases and statuses. The zero value
// colours nothing.
type painter struct{ on bool }

// newPainter reads --color; auto means that w is a terminal and NO_COLOR is not
// set (no-color.org).
func newPainter(when string, w io.Writer) (painter, error) {
	switch when {
	case "always":
		return painter{on: true}, nil
	case "never":
		return painter{}, nil
	case "auto":
		return painter{on: os.Getenv("NO_COLOR") == "" && controllable(w)}, nil
	}
	return painter{}, fmt.Errorf("--color %q is none of auto, always, never", when)
}

// isTerminal reports whether w is a character device. /dev/null is one too,
// where colour does no harm.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// controllable reports whether w is a terminal that understands escape
// sequences.
func controllable(w io.Writer) bool { return os.Getenv("TERM") != "dumb" && isTerminal(w) }

// word colours text if it is a severity, a phase or a status (ECMA-48, SGR).
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
