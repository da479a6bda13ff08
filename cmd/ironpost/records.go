package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/storage"
)

// recordKind says how one kind of record, alerts or actions, is listed.
type recordKind struct {
	name        string // for messages
	stream      bus.StreamName
	republished string // subject on which the bus repeats stored records
	subject     string // subjects of the stream to read
	columns     []column
	stored      storage.Table
	query       storage.Query       // the filters for PostgreSQL, but for those of recordFlags
	record      func() event.Record // an empty one
	// row decodes a record and returns its cells; nil if the filters exclude it.
	row func(data []byte) ([]string, error)
	// series returns of which series a record is, "" for none; the newest of each is shown. nil: there are none.
	series func(data []byte) string
}

// recordFlags are the flags that alerts and actions share.
type recordFlags struct {
	since  string
	host   string
	limit  int
	follow bool
}

func (f *recordFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.since, "since", "24h", "how far back: 90m, 24h, 7d, a time, a day\nor all")
	flags.StringVar(&f.host, "host", "", "only of this host")
	flags.IntVar(&f.limit, "limit", 100, "show only the newest; 0 shows all")
	flags.BoolVarP(&f.follow, "follow", "f", false, "keep showing new ones until interrupted")
}

// recordLister prints the records of a stream and keeps its position in it.
type recordLister struct {
	*app
	recordKind
	limit     int
	table     *table
	lastSeq   uint64    // newest stream sequence seen
	lastTime  time.Time // when it was stored: reading resumes here
	shown     int
	undecoded int // messages that could not be decoded
}

// entry is one record to print.
type entry struct {
	cells  []string
	raw    []byte
	series string
}

// listRecords prints the records that the stream holds, and with --follow those
// that arrive until ctx ends.
func (a *app) listRecords(ctx context.Context, f recordFlags, kind recordKind) error {
	since, err := parseSince(f.since, time.Now())
	if err != nil {
		return err
	}
	if f.limit < 0 {
		return usageError(fmt.Errorf("--limit %d is negative", f.limit))
	}
	l := &recordLister{app: a, recordKind: kind, limit: f.limit, lastTime: since}
	if f.follow {
		return l.followUntilDone(ctx)
	}
	l.query.Since, l.query.Host, l.query.Limit = since, f.host, f.limit
	return a.readRecords(ctx, l.name, func(url string) (bool, error) {
		err := l.printDatabase(ctx, url, recordPatience)
		return l.shown > 0, err
	}, l.printStored)
}

// printStored prints the newest records in the stream up to the limit.
func (l *recordLister) printStored(ctx context.Context, conn *bus.Conn) error {
	return l.printNewest(func(each func(entry) error) error { return l.readNew(ctx, conn, each) })
}

// printNewest prints the newest of the records that read passes on, up to the limit.
func (l *recordLister) printNewest(read func(each func(entry) error) error) error {
	var newest []entry
	since := l.lastTime
	err := read(func(e entry) error {
		if l.limit == 0 {
			return l.print(e)
		}
		if l.series != nil && !l.json { // programs get all
			e.series = l.series(e.raw)
			newest = slices.DeleteFunc(newest, func(older entry) bool { return e.series != "" && older.series == e.series })
		}
		if len(newest) == l.limit {
			newest = newest[1:]
		}
		newest = append(newest, e)
		return nil
	})
	if err != nil {
		return err
	}
	var cells [][]string
	for _, e := range newest {
		cells = append(cells, e.cells)
	}
	if l.table == nil {
		l.table = l.newTable(l.columns, cells)
	}
	for _, e := range newest {
		if err := l.print(e); err != nil {
			return err
		}
	}
	switch {
	case l.shown > 0 || l.json:
	case since.IsZero():
		l.notef("no such %s", l.name)
	default:
		l.notef("no such %s since %s", l.name, l.time(since))
	}
	l.reportUndecoded()
	return nil
}

// readNew passes on the records of the stream after the last one seen.
func (l *recordLister) readNew(ctx context.Context, conn *bus.Conn, each func(entry) error) error {
	var failed error
	err := conn.History(ctx, l.stream, bus.HistoryOptions{Since: l.lastTime, Filter: l.subject}, func(d bus.Delivery) bool {
		if d.Sequence <= l.lastSeq {
			return true
		}
		l.lastSeq, l.lastTime = d.Sequence, d.StoredAt
		cells, err := l.row(d.Data)
		if err != nil {
			l.undecoded++
			return true
		}
		if cells != nil {
			failed = each(entry{cells: cells, raw: d.Data})
		}
		return failed == nil
	})
	return errors.Join(failed, err)
}

func (l *recordLister) print(e entry) error {
	l.shown++
	if l.json {
		return l.printRawJSON(e.raw)
	}
	if l.table == nil {
		l.table = l.newTable(l.columns, nil)
	}
	l.table.row(e.cells)
	return l.out.err
}

func (l *recordLister) reportUndecoded() {
	if l.undecoded > 0 {
		l.notef("warning: %d messages of %s cannot be decoded as %s", l.undecoded, l.stream, l.name)
	}
	l.undecoded = 0
}

// decodeRecord reads a record without validating its fields: it is only
// displayed.
func decodeRecord[T event.Record](data []byte, into T) error {
	if len(data) > event.MaxSize {
		return event.ErrTooLarge
	}
	return json.Unmarshal(data, into)
}
