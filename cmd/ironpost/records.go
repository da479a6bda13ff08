package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
)

// records is how one kind of record is listed.
type records struct {
	name    string // what a person calls them
	stream  bus.StreamName
	feed    string // on which a stored record shows up
	subject string // the stream's subjects to read
	columns []column
	// row decodes a record and returns its cells; nil if the filters leave it out.
	row func(data []byte) ([]string, error)
}

// page are the flags that alerts and actions share.
type page struct {
	since  string
	host   string
	limit  int
	follow bool
}

func (p *page) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&p.since, "since", "24h", "how far back: 90m, 24h, 7d, a time, a day, or all")
	f.StringVar(&p.host, "host", "", "only of this host")
	f.IntVar(&p.limit, "limit", 100, "the newest so many; 0 shows all")
	f.BoolVarP(&p.follow, "follow", "f", false, "go on with new ones until interrupted")
}

// reader is one listing under way.
type reader struct {
	*app
	records
	limit int
	table *table
	last  uint64    // newest stream sequence seen
	at    time.Time // when that was stored; read on from there
	shown int
	odd   int // messages that were no such record
}

// list shows what the stream holds, and then, if asked, what comes.
func (a *app) list(ctx context.Context, p page, r records) error {
	since, err := sinceWhen(p.since, time.Now())
	if err != nil {
		return err
	}
	if p.limit < 0 {
		return usage(fmt.Errorf("--limit %d is negative", p.limit))
	}
	l := &reader{app: a, records: r, limit: p.limit, at: since}
	if !p.follow {
		return a.with(ctx, l.history)
	}
	return l.followAll(ctx)
}

// history shows the newest records up to the limit.
func (l *reader) history(ctx context.Context, conn *bus.Conn) error {
	var kept []entry
	since := l.at
	err := l.read(ctx, conn, func(e entry) error {
		if l.limit == 0 {
			return l.print(e)
		}
		if len(kept) == l.limit {
			kept = kept[1:]
		}
		kept = append(kept, e)
		return nil
	})
	if err != nil {
		return err
	}
	l.fit(kept)
	for _, e := range kept {
		if err := l.print(e); err != nil {
			return err
		}
	}
	if l.shown == 0 && !l.json {
		text := "no such " + l.name
		if !since.IsZero() {
			text += " since " + l.when(since)
		}
		l.tell(text)
	}
	l.reportOdd()
	return nil
}

// entry is one record to show.
type entry struct {
	cells []string
	raw   []byte
}

// read passes what the stream holds after the last one seen.
func (l *reader) read(ctx context.Context, conn *bus.Conn, each func(entry) error) error {
	var failed error
	err := conn.History(ctx, l.stream, bus.HistoryOptions{Since: l.at, Filter: l.subject}, func(d bus.Delivery) bool {
		if d.Sequence <= l.last {
			return true
		}
		l.last, l.at = d.Sequence, d.StoredAt
		cells, err := l.row(d.Data)
		if err != nil {
			l.odd++
			return true
		}
		if cells != nil {
			failed = each(entry{cells: cells, raw: d.Data})
		}
		return failed == nil
	})
	return errors.Join(failed, err)
}

// fit makes the columns as wide as what is shown at once needs.
func (l *reader) fit(entries []entry) {
	rows := make([][]string, 0, len(entries))
	for _, e := range entries {
		rows = append(rows, e.cells)
	}
	l.table = l.newTable(l.columns, rows)
}

func (l *reader) print(e entry) error {
	l.shown++
	if l.json {
		line, ok := jsonLine(e.raw)
		if !ok {
			return nil // was decoded, so it is JSON
		}
		_, err := fmt.Fprintln(l.out, line)
		return err
	}
	if l.table == nil {
		l.table = l.newTable(l.columns, nil)
	}
	return l.table.row(e.cells)
}

func (l *reader) reportOdd() {
	if l.odd > 0 {
		l.tell(fmt.Sprintf("warning: %d messages of %s are no such record", l.odd, l.stream))
	}
	l.odd = 0
}

// decode reads a record of a stream; it does not insist on more than JSON, as it is shown to people only.
func decode[T event.Record](data []byte, into T) error {
	if len(data) > event.MaxSize {
		return event.ErrTooLarge
	}
	return json.Unmarshal(data, into)
}
