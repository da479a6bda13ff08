package storage

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// maxRules bounds the rules that Query.Rule is compared with.
const maxRules = 10_000

// recentRows is among how many of the newest rows those of a filter are looked for before its index is used.
const recentRows = 10_000

// Read calls each for the records of t that q selects, the oldest first, until it returns an error, which Read
// returns. receivedAt is when the stream stored the record, which is JSON with its members in an order of PostgreSQL's.
// Read fails with Slow if the next record takes longer than patience; each may take any time.
func (s *Store) Read(ctx context.Context, t Table, q Query, patience time.Duration, each func(receivedAt time.Time, record []byte) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	waiting := time.AfterFunc(patience, func() { cancel(errTimeout) })
	defer waiting.Stop()
	var failed error
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		// statement_timeout would count the time that each takes; a plan for any value is a bad one for a rare value.
		if _, err := tx.Exec(ctx, "SET LOCAL statement_timeout = 0; SET LOCAL plan_cache_mode = force_custom_plan"); err != nil {
			return err
		}
		statement, args, err := s.statement(ctx, tx, t, q)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, statement, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for failed == nil && rows.Next() {
			waiting.Stop()
			var receivedAt time.Time
			var record []byte
			if err := rows.Scan(&receivedAt, &record); err != nil {
				return err
			}
			if failed = each(receivedAt, record); failed != nil {
				cancel(failed) // else Close reads the other rows
			}
			waiting.Reset(patience)
		}
		return rows.Err()
	})
	if failed != nil {
		return failed
	}
	return classify(ctx, err)
}

// statement returns the statement that reads the records of q, and its arguments.
//
// Which way to the newest rows of a filter is the fastest depends on how many there are and how old they are. PostgreSQL takes them to be
// spread evenly in time: for the newest alerts of a host that was removed it would read every newer row. So it is
// given the choice only where it has no other.
func (s *Store) statement(ctx context.Context, tx pgx.Tx, t Table, q Query) (string, []any, error) {
	filters := q.filters()
	if q.Rule != "" {
		ids, titles, err := q.rules(ctx, tx)
		if err != nil {
			return "", nil, err
		}
		filters = append(filters, ruleFilter(ids, titles))
	}
	sel := newSelection(t, q, filters)
	var rows string
	switch {
	case q.Limit == 0, q.Text != "", len(filters) == 0:
		rows = sel.all()
	case len(filters) == 1 && filters[0].keys != nil:
		rows = sel.keyed()
	default:
		var hits int
		probe := newSelection(t, q, filters)
		err := tx.QueryRow(ctx, "SELECT count(*) FROM ("+probe.recent(s.recentRows)+") AS hits", probe.args...).Scan(&hits)
		if err != nil {
			return "", nil, err
		}
		if hits == q.Limit {
			rows = sel.recent(s.recentRows)
			break
		}
		times, err := s.newestTimes(ctx, tx, t, q, filters)
		if err != nil {
			return "", nil, err
		}
		sel.filters = append(sel.filters, filter{sql: "received_at = ANY(?)", args: []any{times}})
		rows = sel.all()
	}
	return "SELECT received_at, record FROM (" + rows + ") AS records ORDER BY received_at, " + sel.tie, sel.args, nil
}

// rules returns the ids and titles in the table that q.Rule selects. The query reads one index entry for each
// rule, where comparing titles row by row would read every row.
func (q Query) rules(ctx context.Context, tx pgx.Tx) (ids, titles []string, err error) {
	const each = `
WITH RECURSIVE known AS (
    (SELECT rule, rule_title FROM ironpost.alerts WHERE received_at >= $1 ORDER BY rule, rule_title LIMIT 1)
    UNION ALL
    SELECT next.rule, next.rule_title FROM known CROSS JOIN LATERAL (
        SELECT a.rule, a.rule_title FROM ironpost.alerts a
        WHERE a.received_at >= $1 AND (a.rule, a.rule_title) > (known.rule, known.rule_title)
        ORDER BY a.rule, a.rule_title LIMIT 1) AS next
) SELECT rule, rule_title FROM known LIMIT $2`
	rows, err := tx.Query(ctx, each, day(q.Since), maxRules) // whole partitions: no row of them is compared by its time
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id, title string
		if err := rows.Scan(&id, &title); err != nil {
			return nil, nil, err
		}
		if strings.ToLower(id) == q.Rule || strings.Contains(strings.ToLower(title), q.Rule) {
			ids, titles = append(ids, id), append(titles, title)
		}
	}
	return ids, titles, rows.Err()
}
