package parse

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/sigma"
)

// Bounds of one JSON line. A line beyond them is Plain.
const (
	maxDepth  = 32
	maxValues = 2048
)

var errTooLarge = errors.New("too deep or too many values")

// parseJSON parses a text that is one JSON object, and reports whether it is one. Its members become fields;
// well-known names also give the event its time, host, user and source. The first of jsonFormats that knows the
// members adds fields of its own.
func parseJSON(ev *Event, line string) bool {
	dec := json.NewDecoder(strings.NewReader(line))
	dec.UseNumber()
	d := jsonDecoder{dec: dec}
	value, err := d.value(0)
	fields, ok := value.(map[string]any)
	if err != nil || !ok {
		return false
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) { // more than one value
		return false
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !ev.has(name) { // a header around the text takes precedence
			ev.Fields.Set(name, sigma.NewValue(fields[name]))
		}
	}
	ev.Logsource = sigma.Logsource{Category: "application"}
	ev.outerHost = ev.Host
	setKnownFields(ev)
	for _, f := range jsonFormats {
		if f.parse(ev) {
			ev.Format = f.name
			break
		}
	}
	return true
}

// jsonDecoder builds a value token by token: encoding/json alone does not bound
// the number of values, and silently drops duplicate members.
type jsonDecoder struct {
	dec    *json.Decoder
	values int
}

func (d *jsonDecoder) value(depth int) (any, error) {
	d.values++
	if depth > maxDepth || d.values > maxValues {
		return nil, errTooLarge
	}
	token, err := d.dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '{' {
			return d.object(depth)
		}
		return d.array(depth)
	case json.Number:
		return jsonNumber(t), nil
	}
	return token, nil
}

// object keeps all values of a duplicate member, as a list: programs differ in
// which one they use, and an attacker must not hide the other from a rule.
func (d *jsonDecoder) object(depth int) (any, error) {
	out := map[string]any{}
	for d.dec.More() {
		token, err := d.dec.Token()
		if err != nil {
			return nil, err
		}
		name, _ := token.(string)
		value, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		switch old := out[name].(type) {
		case []any:
			value = append(old, value) //nolint:gocritic // old is not used again
		default:
			if _, duplicate := out[name]; duplicate {
				value = []any{old, value}
			}
		}
		out[name] = value
	}
	_, err := d.dec.Token()
	return out, err
}

func (d *jsonDecoder) array(depth int) (any, error) {
	out := []any{}
	for d.dec.More() {
		value, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		out = append(out, value)
	}
	_, err := d.dec.Token()
	return out, err
}

// jsonNumber returns an int64 or a float64, or the text of an integer that does
// not fit, so that a 20-digit id is not rounded.
func jsonNumber(n json.Number) any {
	if i, err := n.Int64(); err == nil {
		return i
	}
	f, err := n.Float64()
	if err != nil || math.IsInf(f, 0) || !strings.ContainsAny(n.String(), ".eE") {
		return n.String()
	}
	return f
}

// setKnownFields sets the attributes of the event from the names that common
// loggers use.
func setKnownFields(ev *Event) {
	if at := jsonTime(&ev.Fields); !at.IsZero() {
		ev.Time = at
	}
	ev.Host = cmp.Or(ev.text("host", "hostname", "_HOSTNAME", "host.name"), ev.Host)
	ev.Process = cmp.Or(ev.text("process", "program", "SYSLOG_IDENTIFIER", "_COMM", "process.name"), ev.Process)
	ev.User = ev.text("user", "username", "user.name")
	if pid, err := strconv.ParseInt(ev.text("pid", "_PID", "process.pid"), 10, 64); err == nil {
		ev.PID = pid
	}
	if msg := ev.text("message", "msg", "log", "MESSAGE"); msg != "" {
		ev.Message = msg
	}
	if ip, ok := parseAddress(ev.text("src_ip", "source_ip", "client_ip", "remote_addr", "clientip", "remote_ip", "c-ip", "source.ip", "client.ip")); ok {
		ev.SourceIP = ip
	}
	if n, err := strconv.ParseUint(ev.text("src_port", "source_port", "remote_port", "source.port"), 10, 16); err == nil {
		ev.SourcePort = uint16(n)
	}
}

// jsonTime reads RFC 3339 or a number of units since 1970.
func jsonTime(fields *sigma.Fields) time.Time {
	for _, name := range [...]string{"time", "timestamp", "@timestamp", "ts", "__REALTIME_TIMESTAMP", "eventTime", "date"} {
		value, _ := fields.Get(name)
		switch v := value.Any().(type) {
		case string:
			if t, err := time.Parse(time.RFC3339, v); err == nil {
				return t
			}
			if n, err := strconv.ParseInt(v, 10, 64); err == nil {
				return since1970(n)
			}
		case int64:
			return since1970(v)
		case float64:
			if math.Abs(v) < 1e11 {
				return time.UnixMicro(int64(v * 1e6)).UTC()
			}
		}
	}
	return time.Time{}
}

// since1970 returns n seconds, milliseconds, microseconds or nanoseconds since
// 1970; the size of n decides the unit.
func since1970(n int64) time.Time {
	switch {
	case n <= 0:
		return time.Time{}
	case n < 1e11:
		return time.Unix(n, 0).UTC()
	case n < 1e14:
		return time.UnixMilli(n).UTC()
	case n < 1e17:
		return time.UnixMicro(n).UTC()
	}
	return time.Unix(0, n).UTC()
}
