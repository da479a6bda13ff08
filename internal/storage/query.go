package storage

import (
	"net/netip"
	"strings"
	"time"

	"github.com/ironpost/ironpost/event"
)

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
	// Series are ranges, first and last, of the ids of series.
	Series [][2]string

	// Of actions.
	Phase, Kind, Policy string
	AlertIDs            []string // about one of these alerts

	// Of lines.
	Text      string // in the line, in any case
	LogSource string // where it was read, such as file:/var/log/auth.log
}

// filter is a condition on rows. In SQL, each ? stands for an argument.
type filter struct {
	sql   string
	args  []any
	keys  []key    // that select the same rows; nil if no index orders them by time
	parts []filter // each with an index of its own, that together select the same rows
}

// key selects the rows that have one of some values in columns that an index has before received_at.
type key struct {
	columns []string
	types   []string
	values  []any // for each column a slice
	except  filter
}

// filters returns the conditions of q but those of time and rule.
func (q Query) filters() (all []filter) {
	for _, f := range []struct{ column, value string }{
		{"host", q.Host}, {"phase", q.Phase}, {"kind", q.Kind}, {"policy", q.Policy}, {"source", q.LogSource},
	} {
		if f.value != "" {
			all = append(all, oneOf(f.column, "text", []string{column(f.value)}))
		}
	}
	if q.AlertIDs != nil {
		all = append(all, filter{sql: "alert_id = ANY(?)", args: []any{q.AlertIDs}})
	}
	if q.Series != nil {
		all = append(all, inRanges("coalesce(series, id)", q.Series))
	}
	if q.Text != "" {
		pattern := "%" + likeText.Replace(strings.ReplaceAll(q.Text, "\x00", string(nulSign))) + "%"
		all = append(all, filter{sql: "record->>'message' ILIKE ?", args: []any{pattern}})
	}
	if q.Severity > event.Info {
		var values []int16
		for v := q.Severity; v <= event.Critical; v++ {
			values = append(values, int16(v))
		}
		all = append(all, oneOf("severity", "smallint", values))
	}
	if q.Source.IsValid() {
		all = append(all, within("source", q.Source))
	}
	if q.Address.IsValid() {
		all = append(all, either(within("source", q.Address), within("target", q.Address)))
	}
	return all
}

// oneOf is the filter of rows whose column has one of values, a slice.
func oneOf(column, kind string, values any) filter {
	return filter{
		sql: column + " = ANY(?)", args: []any{values},
		keys: []key{{columns: []string{column}, types: []string{kind}, values: []any{values}}},
	}
}

// inRanges is the filter of rows whose expression is in one of some ranges.
func inRanges(expression string, ranges [][2]string) (f filter) {
	conditions := []string{"FALSE"}
	for _, r := range ranges {
		conditions = append(conditions, expression+" BETWEEN ? AND ?")
		f.args = append(f.args, column(r[0]), column(r[1]))
	}
	f.sql = "(" + strings.Join(conditions, " OR ") + ")"
	return f
}

// within is the filter of rows whose column has an address of p.
func within(column string, p netip.Prefix) filter {
	if p.IsSingleIP() {
		return oneOf(column, "inet", []netip.Prefix{p})
	}
	return filter{sql: column + " <<= ?", args: []any{p}}
}

// either is the filter of rows that a or b selects.
func either(a, b filter) filter {
	f := filter{sql: "(" + a.sql + " OR " + b.sql + ")", args: append(a.args[:1:1], b.args...), parts: []filter{a, b}}
	if a.keys != nil && b.keys != nil {
		second := b.keys[0]
		second.except = a
		f.keys = []key{a.keys[0], second}
	}
	return f
}

// ruleFilter is the filter of rows of the rules with these ids and titles.
func ruleFilter(ids, titles []string) filter {
	f := filter{sql: "(rule, rule_title) IN (SELECT * FROM unnest(?::text[], ?::text[]))", args: []any{ids, titles}}
	if len(ids) <= maxKeyed {
		f.keys = []key{{columns: []string{"rule", "rule_title"}, types: []string{"text", "text"}, values: []any{ids, titles}}}
	}
	return f
}
