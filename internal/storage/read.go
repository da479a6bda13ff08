package storage

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ironpost/ironpost/event"
)

// maxRules bounds the rules that Query.Rule is compared with.
const maxRules = 10_000

// likeText escapes what has a meaning in a pattern of LIKE.
var likeText = strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`)

// Query selects records. A zero field selects all; one that is not of the table is an error of PostgreSQL.
type Query struct {
	Since time.Time // received then or later
	Host  string
	Limit int // the newest only

	// Of alerts.
	Severity event.Severity // this or higher
	Rule     string         // in lower case: the rule's id, or part of its title
	Source   netip.Prefix
	Address  netip.Prefix // source or target

	// Of actions.
	Phase, Kind, Policy string

	// Of lines.
	Text      string // in the line, in any case
	LogSource string // where it was read, such as file:/var/log/auth.log
}

// Read calls each for the records of t that q selects, the oldest first, until it returns an error, which Read
// returns. A record is JSON with its members in an order of PostgreSQL's.
func (s *Store) Read(ctx context.Context, t Table, q Query, each func(record []byte) error) error {
	var failed error
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL statement_timeout = 0"); err != nil { // as long as the reader takes
			return err
		}
		where, args, err := q.where(ctx, tx)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, q.sql(t, where), args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for failed == nil && rows.Next() {
			var record []byte
			if err := rows.Scan(&record); err != nil {
				return err
			}
			failed = each(record)
		}
		return rows.Err()
	})
	if failed != nil {
		return failed
	}
	return classify(ctx, err)
}

// sql returns the statement for a condition.
func (q Query) sql(t Table, where string) string {
	then := "seq"
	if t == Logs {
		then = "id"
	}
	from := fmt.Sprintf("SELECT received_at, %s, record FROM %s.%s%s", then, schemaName, t, where)
	if q.Limit > 0 {
		from += fmt.Sprintf(" ORDER BY received_at DESC, %s DESC LIMIT %d", then, q.Limit)
	}
	return "SELECT record FROM (" + from + ") AS newest ORDER BY received_at, " + then
}

// where returns the condition and its arguments.
func (q Query) where(ctx context.Context, tx pgx.Tx) (string, []any, error) {
	var conditions []string
	var args []any
	add := func(condition string, values ...any) {
		for _, v := range values {
			args = append(args, v)
			condition = strings.Replace(condition, "?", fmt.Sprintf("$%d", len(args)), 1)
		}
		conditions = append(conditions, condition)
	}
	if !q.Since.IsZero() {
		add("received_at >= ?", q.Since)
	}
	for name, value := range map[string]string{"host": q.Host, "phase": q.Phase, "kind": q.Kind, "policy": q.Policy} {
		if value != "" {
			add(name+" = ?", column(value))
		}
	}
	if q.LogSource != "" {
		add("source = ?", column(q.LogSource))
	}
	if q.Text != "" {
		add("record->>'message' ILIKE ?", "%"+likeText.Replace(strings.ReplaceAll(q.Text, "\x00", string(nulSign)))+"%")
	}
	if q.Severity > event.Info {
		var severities []int16
		for v := q.Severity; v <= event.Critical; v++ {
			severities = append(severities, int16(v))
		}
		add("severity = ANY(?)", severities)
	}
	if q.Source.IsValid() {
		add("source "+within(q.Source)+" ?", q.Source)
	}
	if q.Address.IsValid() {
		is := within(q.Address)
		add("(source "+is+" ? OR target "+is+" ?)", q.Address, q.Address)
	}
	if q.Rule != "" {
		ids, titles, err := q.rules(ctx, tx)
		if err != nil {
			return "", nil, err
		}
		if len(ids) == 1 { // the usual case: read in order from the index
			add("rule = ? AND rule_title = ?", ids[0], titles[0])
		} else {
			add("(rule, rule_title) IN (SELECT * FROM unnest(?::text[], ?::text[]))", ids, titles)
		}
	}
	if len(conditions) == 0 {
		return "", nil, nil
	}
	return " WHERE " + strings.Join(conditions, " AND "), args, nil
}

// within returns the operator that compares an address with p. One address is compared for equality, which PostgreSQL
// reads in order from the index; of a network it estimates too many rows.
func within(p netip.Prefix) string {
	if p.IsSingleIP() {
		return "="
	}
	return "<<="
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
