package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// column is a heading and the most columns of a terminal its cells take; the last column
// of a table is not padded.
type column struct {
	name string
	most int
}

// table prints rows of text from anywhere; every cell goes through cell.
type table struct {
	w       io.Writer
	paint   painter
	columns []column
	widths  []int
	begun   bool
}

// newTable returns a table whose columns are as wide as rows need, or, without rows, as wide as they may be.
func newTable(w io.Writer, p painter, columns []column, rows [][]string) *table {
	t := &table{w: w, paint: p, columns: columns}
	for i, c := range columns {
		width := c.most
		if rows != nil {
			width = displayWidth(c.name)
			for _, row := range rows {
				width = max(width, displayWidth(cell(row[i], c.most)))
			}
		}
		t.widths = append(t.widths, width)
	}
	return t
}

// row prints one row, and the headings before the first.
func (t *table) row(cells []string) error {
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
	for i, c := range t.columns {
		text := cell(cells[i], c.most)
		b.WriteString(p.word(text))
		if i < len(t.columns)-1 {
			b.WriteString(strings.Repeat(" ", 2+max(0, t.widths[i]-displayWidth(text))))
		}
	}
	_, err := fmt.Fprintln(t.w, strings.TrimRight(b.String(), " "))
	return err
}

// printTable prints rows at once.
func printTable(w io.Writer, p painter, columns []column, rows [][]string) error {
	t := newTable(w, p, columns, rows)
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
