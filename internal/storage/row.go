package storage

import (
	"net/netip"
	"time"

	"github.com/ironpost/ironpost/event"
)

// Table is a table of records.
type Table string

// The tables.
const (
	Alerts  Table = "alerts"
	Actions Table = "actions"
	Logs    Table = "logs"
)

// Tables returns all tables.
func Tables() []Table { return []Table{Alerts, Actions, Logs} }

// columns returns the columns of t in the order of Row.values. Each begins with received_at and id.
func (t Table) columns() []string {
	switch t {
	case Alerts:
		return []string{"received_at", "id", "seq", "host", "module", "severity", "rule", "rule_title", "source", "target", "trace_id", "series", "record"}
	case Actions:
		return []string{"received_at", "id", "seq", "host", "module", "phase", "kind", "policy", "alert_id", "target", "trace_id", "record"}
	}
	return []string{"received_at", "id", "host", "source", "process", "trace_id", "record"}
}

// Message is a record as the bus stored it.
type Message struct {
	ReceivedAt time.Time // when the stream stored it
	Sequence   uint64    // in the stream
	Data       []byte    // the record
}

// receivedAt is ReceivedAt with the precision of PostgreSQL.
func (m Message) receivedAt() time.Time { return m.ReceivedAt.UTC().Truncate(time.Microsecond) }

// Row is a row of a table. It must not be changed.
type Row struct {
	receivedAt time.Time
	values     []any
}

// AlertRow returns the row of an alert, which was decoded from m.
func AlertRow(a *event.Alert, m Message) Row {
	at := m.receivedAt()
	return Row{at, []any{
		at, column(a.ID), int64(m.Sequence), column(a.Host), column(a.Module), int16(a.Severity), column(a.Rule.ID), column(a.Rule.Title),
		address(a.Source), address(a.Target), column(a.TraceID), optional(a.Series), storable(m.Data),
	}}
}

// ActionRow returns the row of an action, which was decoded from m.
func ActionRow(a *event.Action, m Message) Row {
	at := m.receivedAt()
	return Row{at, []any{
		at, column(a.ID), int64(m.Sequence), column(a.Host), column(a.Module), column(string(a.Phase)), column(a.Kind), column(a.Policy),
		column(a.AlertID), network(a.Target), column(a.TraceID), storable(m.Data),
	}}
}

// LogRow returns the row of a log line, whose JSON is data. Received is the time of receipt: it must be the
// same when the line is stored again.
func LogRow(l *event.Log, data []byte) Row {
	at := Message{ReceivedAt: l.Received}.receivedAt()
	return Row{at, []any{
		at, column(l.ID), column(l.Host), column(l.Source), column(l.Process), column(l.TraceID), storable(data),
	}}
}

// optional is column with NULL for no text.
func optional(text string) any {
	if text == "" {
		return nil
	}
	return column(text)
}

// address returns the address of e, NULL if it has none.
func address(e *event.Endpoint) any {
	if e == nil {
		return nil
	}
	return network(e.IP)
}

// network returns text as an address or a network, NULL if it is neither.
func network(text string) any {
	if ip, err := netip.ParseAddr(text); err == nil {
		ip = ip.Unmap().WithZone("")
		return netip.PrefixFrom(ip, ip.BitLen())
	}
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked()
	}
	return nil
}
