package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/storage"
)

// maxRevisions bounds the revisions of a series that are kept in memory, the newest.
const maxRevisions = 1000

// alertSeries is the alerts of one series, the oldest first.
type alertSeries []event.Alert

// newest returns the alert with the counts so far.
func (s alertSeries) newest() *event.Alert { return &s[len(s)-1] }

func (s alertSeries) ids() (out []string) {
	for i := range s {
		out = append(out, s[i].ID)
	}
	return out
}

// seriesFinder collects the series of which a text begins the short or the full id, or that of one of their alerts.
type seriesFinder struct {
	text  string
	order []string // keys of the series, in the order of their first alert
	byKey map[string]alertSeries
}

func (f *seriesFinder) add(data []byte) {
	var a event.Alert
	if decodeRecord(data, &a) != nil {
		return
	}
	key := a.SeriesKey()
	_, known := f.byKey[key]
	if !known && !event.HasIDPrefix(a.SeriesID(), f.text) && !event.HasIDPrefix(a.ID, f.text) {
		return
	}
	if !known {
		f.order = append(f.order, key)
	}
	list := append(f.byKey[key], a)
	f.byKey[key] = list[max(0, len(list)-maxRevisions):]
}

// findSeries returns the one series that text names; host is "" for any.
func (a *app) findSeries(ctx context.Context, text, host string) (alertSeries, error) {
	var f *seriesFinder
	begin := func() { f = &seriesFinder{text: text, byKey: map[string]alertSeries{}} }
	err := a.readRecords(ctx, "alerts", func(url string) (bool, error) {
		begin()
		return false, f.readDatabase(ctx, url, host)
	}, func(ctx context.Context, conn *bus.Conn) error {
		begin()
		return f.readStream(ctx, conn, host)
	})
	switch {
	case err != nil:
		return nil, err
	case len(f.order) == 0:
		return nil, fmt.Errorf("no stored alert has an id that begins with %q: see ironpost alerts --since all", text)
	case len(f.order) == 1:
		return f.byKey[f.order[0]], nil
	}
	return nil, usageError(errors.New(a.ambiguous(f)))
}

// ambiguous lists the series that a text names.
func (a *app) ambiguous(f *seriesFinder) string {
	const most = 10
	lines := []string{fmt.Sprintf("%d alerts have an id that begins with %q:", len(f.order), f.text)}
	for i, key := range f.order {
		if i == most {
			lines = append(lines, fmt.Sprintf("  and %d more", len(f.order)-most))
			break
		}
		newest := f.byKey[key].newest()
		lines = append(lines, fmt.Sprintf("  %s  %s  %s on %s  %s", clean(event.ShortID(newest.SeriesID())), a.minute(newest.LastSeen), clean(newest.Module), clean(newest.Host), clean(event.Shorten(newest.Title, 60))))
	}
	return strings.Join(lines, "\n")
}

// readStream reads all alerts: the revision that the text names may be any of a series.
func (f *seriesFinder) readStream(ctx context.Context, conn *bus.Conn, host string) error {
	subject := bus.AlertSubject("*", "*")
	if host != "" {
		subject = bus.AlertSubject("*", host)
	}
	for range 2 { // a revision may be named by its own id, and the revisions before it not
		known := len(f.order)
		for _, key := range f.order {
			f.byKey[key] = nil
		}
		err := conn.History(ctx, bus.Alerts, bus.HistoryOptions{Filter: subject}, func(d bus.Delivery) bool {
			if namesItsOrigin(d) {
				f.add(d.Data)
			}
			return true
		})
		if err != nil || len(f.order) == known {
			return err
		}
	}
	return nil
}

// readDatabase looks the text up by index: there it must begin the id of a series.
func (f *seriesFinder) readDatabase(ctx context.Context, url, host string) error {
	ranges := append(event.IDRanges(f.text), [2]string{f.text, f.text + "\U0010FFFF"}) // and an id that is not hexadecimal
	return readAll(ctx, url, storage.Alerts, storage.Query{Host: host, Series: ranges}, func(record []byte) {
		f.add(inOrder(record, new(event.Alert)))
	})
}

// readAll calls each for the records in PostgreSQL that q selects.
func readAll(ctx context.Context, url string, table storage.Table, q storage.Query, each func(record []byte)) error {
	store, err := storage.Open(storage.Config{URL: url})
	if err != nil {
		return err
	}
	defer store.Close()
	return store.Read(ctx, table, q, recordPatience, func(_ time.Time, record []byte) error {
		each(record)
		return nil
	})
}
