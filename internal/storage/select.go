package storage

import (
	"fmt"
	"strings"
	"time"
)

// maxKeyed bounds the values that are looked up one by one.
const maxKeyed = 100

// selection makes the statement that reads the rows of a query.
type selection struct {
	table   Table
	tie     string // the column that orders rows of the same time
	filters []filter
	limit   int
	args    []any  // of the statement so far
	since   string // the condition on the time
}

func newSelection(t Table, q Query, filters []filter) *selection {
	s := &selection{table: t, tie: "seq", filters: filters, limit: q.Limit}
	if t == Logs {
		s.tie = "id"
	}
	s.since = s.bind("received_at >= ?", q.Since)
	return s
}

// bind adds arguments and returns sql with their numbers.
func (s *selection) bind(sql string, args ...any) string {
	for _, arg := range args {
		s.args = append(s.args, arg)
		sql = strings.Replace(sql, "?", fmt.Sprintf("$%d", len(s.args)), 1)
	}
	return sql
}

// where returns the conditions of all filters.
func (s *selection) where() string {
	conditions := []string{"TRUE"}
	for _, f := range s.filters {
		conditions = append(conditions, s.bind(f.sql, f.args...))
	}
	return strings.Join(conditions, " AND ")
}

// rows selects the rows of a condition.
func (s *selection) rows(condition string) string {
	return fmt.Sprintf("SELECT received_at, %s, record FROM %s.%s WHERE %s", s.tie, schemaName, s.table, condition)
}

// newest selects the newest of some rows.
func (s *selection) newest(rows string, limit int) string {
	return fmt.Sprintf("%s ORDER BY received_at DESC, %s DESC LIMIT %d", rows, s.tie, limit)
}

// all selects all rows, or the newest as PostgreSQL thinks best.
func (s *selection) all() string {
	rows := s.rows(s.since + " AND " + s.where())
	if s.limit > 0 {
		rows = s.newest(rows, s.limit)
	}
	return rows
}

// keyed selects the newest rows of the only filter, which has keys: of each value, the last ones of its range of
// the index. The columns of the index are ordered by although they have one value: that can only be done with the index.
func (s *selection) keyed() string {
	var parts []string
	for _, k := range s.filters[0].keys {
		var arrays, values []string
		for i, kind := range k.types {
			arrays = append(arrays, s.bind("?::"+kind+"[]", k.values[i]))
			values = append(values, "v."+k.columns[i])
		}
		condition := fmt.Sprintf("(%[1]s, received_at) BETWEEN (%[2]s, $1) AND (%[2]s, 'infinity') AND %[3]s",
			strings.Join(k.columns, ", "), strings.Join(values, ", "), s.since)
		if k.except.sql != "" {
			condition += " AND (" + s.bind(k.except.sql, k.except.args...) + ") IS NOT TRUE"
		}
		parts = append(parts, fmt.Sprintf(`SELECT hit.* FROM unnest(%s) AS v (%s) CROSS JOIN LATERAL (
			%s ORDER BY %s DESC, received_at DESC, %s DESC LIMIT %d) AS hit`,
			strings.Join(arrays, ", "), strings.Join(k.columns, ", "), s.rows(condition), strings.Join(k.columns, " DESC, "), s.tie, s.limit))
	}
	return s.newest("SELECT * FROM ("+strings.Join(parts, " UNION ALL ")+") AS hits", s.limit)
}

// recent selects those among the newest rows of any kind, which are read in order.
func (s *selection) recent(among int) string {
	rows := fmt.Sprintf("SELECT * FROM %s.%s WHERE %s ORDER BY received_at DESC FETCH FIRST %d ROWS WITH TIES", schemaName, s.table, s.since, among)
	return s.newest(fmt.Sprintf("SELECT received_at, %s, record FROM (%s) AS recent WHERE %s", s.tie, rows, s.where()), s.limit)
}

// found selects the times of the newest rows from start until end, of all of them, which for one filter the index alone has. OFFSET 0 keeps
// PostgreSQL from reading rows in order of time instead.
func (s *selection) found(start, end time.Time, limit int) string {
	window := s.since + s.bind(" AND received_at >= ? AND received_at < ?", start, end)
	var conditions []string
	if len(s.filters) == 1 {
		for _, f := range s.filters[0].parts {
			conditions = append(conditions, s.bind(f.sql, f.args...))
		}
	}
	if conditions == nil {
		conditions = []string{s.where()}
	}
	var parts []string
	for _, condition := range conditions {
		parts = append(parts, fmt.Sprintf("(SELECT received_at FROM %s.%s WHERE %s AND %s OFFSET 0)", schemaName, s.table, window, condition))
	}
	return fmt.Sprintf("SELECT received_at FROM (%s) AS found ORDER BY received_at DESC LIMIT %d", strings.Join(parts, " UNION "), limit)
}
