package storage

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// newestTimes returns the times of the newest rows that the filters select, at least q.Limit of them if there are so many. They
// are looked for by index in one window of time after the other: in the newest day, the two days before, four, eight. So what is common
// costs the search of a day, and what is rare little more than one search of all days.
func (s *Store) newestTimes(ctx context.Context, tx pgx.Tx, t Table, q Query, filters []filter) (times []time.Time, err error) {
	table := schemaName + "." + string(t)
	var oldest, newest *time.Time
	err = tx.QueryRow(ctx, "SELECT (SELECT min(received_at) FROM "+table+" WHERE received_at >= $1), (SELECT max(received_at) FROM "+table+
		" WHERE received_at >= $1)", q.Since).Scan(&oldest, &newest)
	if err != nil || oldest == nil {
		return nil, err
	}
	start := day(*newest)
	end := start.AddDate(0, 0, 1)
	for days := 2; ; days *= 2 {
		sel := newSelection(t, q, filters)
		rows, _ := tx.Query(ctx, sel.found(start, end, q.Limit-len(times)), sel.args...) // CollectRows returns the error
		found, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
		times = append(times, found...)
		if err != nil || len(times) >= q.Limit || !start.After(*oldest) {
			return times, err
		}
		start, end = start.AddDate(0, 0, -days), start
	}
}
