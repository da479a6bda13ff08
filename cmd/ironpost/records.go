package main

import (
	"container/list"
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
	// series returns of which series a record is: tables show the newest record of each. nil: there are none.
	series func(data []byte) string
	// onlyIfDifferent names a column that a list leaves out if all its rows have the same in it.
	onlyIfDifferent string
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
	since     time.Time // how far back
	lastSeq   uint64    // newest stream sequence seen: reading resumes behind it
	shown     int
	undecoded int // messages that could not be decoded
}

// entry is one record to print.
type entry struct {
	cells []string
	raw   []byte
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
	a.following = f.follow
	l := &recordLister{app: a, recordKind: kind, limit: f.limit, since: since}
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
	read := l.readNewest
	if l.limit == 0 {
		read = l.readNew
	}
	return l.printNewest(func(each func(entry) error) error { return read(ctx, conn, each) })
}

// printNewest prints the newest of the records that read passes on, up to the limit.
func (l *recordLister) printNewest(read func(each func(entry) error) error) error {
	keep := newNewest(l.limit)
	err := read(func(e entry) error {
		if l.limit == 0 && !l.folds() {
			return l.print(e)
		}
		key := ""
		if l.folds() {
			key, e.raw = l.series(e.raw), nil
		}
		keep.add(key, e)
		return nil
	})
	if err != nil {
		return err
	}
	newest := keep.entries()
	l.leaveOut(newest)
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
	case l.since.IsZero():
		l.notef("no such %s", l.name)
	default:
		l.notef("no such %s since %s", l.name, l.time(l.since))
	}
	l.reportUndecoded()
	return nil
}

// folds reports whether only the newest record of each series is shown: programs get all.
func (l *recordLister) folds() bool { return l.series != nil && !l.json }

// leaveOut removes the column onlyIfDifferent if all entries have the same in it.
func (l *recordLister) leaveOut(entries []entry) {
	at := slices.IndexFunc(l.columns, func(c column) bool { return c.name == l.onlyIfDifferent })
	if at < 0 || l.following || len(entries) == 0 || l.table != nil {
		return
	}
	if slices.ContainsFunc(entries, func(e entry) bool { return e.cells[at] != entries[0].cells[at] }) {
		return
	}
	l.columns = slices.Delete(slices.Clone(l.columns), at, at+1)
	for i := range entries {
		entries[i].cells = slices.Delete(entries[i].cells, at, at+1)
	}
}

// newest keeps the newest entries, of each key one.
type newest struct {
	limit int        // 0: none
	order *list.List // of keyed, the oldest first
	byKey map[string]*list.Element
}

type keyed struct {
	key string
	entry
}

func newNewest(limit int) *newest {
	return &newest{limit: limit, order: list.New(), byKey: map[string]*list.Element{}}
}

// add keeps e in place of an older one of its key, which may be empty for none.
func (n *newest) add(key string, e entry) {
	if older, found := n.byKey[key]; found {
		n.order.Remove(older)
	}
	element := n.order.PushBack(keyed{key, e})
	if key != "" {
		n.byKey[key] = element
	}
	if n.limit > 0 && n.order.Len() > n.limit {
		delete(n.byKey, n.order.Remove(n.order.Front()).(keyed).key) //nolint:forcetypeassert // only add fills it
	}
}

func (n *newest) entries() (out []entry) {
	for e := n.order.Front(); e != nil; e = e.Next() {
		out = append(out, e.Value.(keyed).entry) //nolint:forcetypeassert // only add fills it
	}
	return out
}

// readNewest passes on the newest records of the stream, up to the limit; of each series, where only one is shown, the newest.
// It reads from the end of the stream.
func (l *recordLister) readNewest(ctx context.Context, conn *bus.Conn, each func(entry) error) error {
	var found []entry
	known := map[string]bool{}
	err := conn.HistoryBack(ctx, l.stream, bus.HistoryOptions{Since: l.since, Filter: l.subject}, func(d bus.Delivery) bool {
		l.lastSeq = max(l.lastSeq, d.Sequence)
		cells, ok := l.decode(d)
		if !ok || cells == nil {
			return true
		}
		if l.folds() {
			key := l.series(d.Data)
			if key != "" && known[key] {
				return true
			}
			known[key] = true
		}
		found = append(found, entry{cells: cells, raw: d.Data})
		return len(found) < l.limit
	})
	for _, e := range slices.Backward(found) {
		err = errors.Join(err, each(e))
	}
	return err
}

// readNew passes on the records of the stream after the last one seen.
func (l *recordLister) readNew(ctx context.Context, conn *bus.Conn, each func(entry) error) error {
	var failed error
	err := conn.History(ctx, l.stream, bus.HistoryOptions{Since: l.since, After: l.lastSeq, Filter: l.subject}, func(d bus.Delivery) bool {
		l.lastSeq = d.Sequence
		cells, ok := l.decode(d)
		if ok && cells != nil {
			failed = each(entry{cells: cells, raw: d.Data})
		}
		return failed == nil
	})
	return errors.Join(failed, err)
}

// decode returns the cells of a record, nil if the filters exclude it; ok is false, and it is counted, if it cannot be decoded or names
// another origin than its subject.
func (l *recordLister) decode(d bus.Delivery) (cells []string, ok bool) {
	cells, err := l.row(d.Data)
	if err != nil || !namesItsOrigin(d) {
		l.undecoded++
		return nil, false
	}
	return cells, true
}

// namesItsOrigin reports whether a record names the module and the host that published it, which the server enforced.
func namesItsOrigin(d bus.Delivery) bool {
	var named struct{ Module, Host string }
	module, host := d.Origin()
	return json.Unmarshal(d.Data, &named) == nil && named.Module == module && named.Host == host
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
