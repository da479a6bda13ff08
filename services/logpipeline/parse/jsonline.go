package parse

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/sigma"
)

// Caps on one JSON line. A line beyond them is a message, not an object.
const (
	maxDepth  = 32
	maxValues = 2048
)

var errTooBig = errors.New("too deep or too many values")

// jsonObject reads a line that is one JSON object. Its members become fields as
// they are; well-known names also give the event its time, host, user and source.
func jsonObject(ev *Event, line string) {
	dec := json.NewDecoder(strings.NewReader(line))
	dec.UseNumber()
	r := reader{dec: dec}
	value, err := r.value(0)
	fields, ok := value.(map[string]any)
	if err != nil || !ok || !atEnd(dec) {
		return
	}
	ev.Format, ev.Fields = JSON, fields
	ev.Logsource = sigma.Logsource{Category: "application"}
	jsonEntity(ev)
}

func atEnd(dec *json.Decoder) bool {
	_, err := dec.Token()
	return errors.Is(err, io.EOF)
}

// reader builds a value token by token, because encoding/json alone bounds neither
// depth to our taste nor the count, and drops duplicate members silently.
type reader struct {
	dec    *json.Decoder
	values int
}

func (r *reader) value(depth int) (any, error) {
	r.values++
	if depth > maxDepth || r.values > maxValues {
		return nil, errTooBig
	}
	token, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '{' {
			return r.object(depth)
		}
		return r.array(depth)
	case json.Number:
		return number(t), nil
	}
	return token, nil
}

// object keeps every value of a repeated member, as a list: readers differ in
// which one they believe, and an attacker must not hide the other from a rule.
func (r *reader) object(depth int) (any, error) {
	out := map[string]any{}
	for r.dec.More() {
		token, err := r.dec.Token()
		if err != nil {
			return nil, err
		}
		name, _ := token.(string)
		value, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		out[name] = merged(out, name, value)
	}
	_, err := r.dec.Token()
	return out, err
}

func merged(fields map[string]any, name string, value any) any {
	old, twice := fields[name]
	if !twice {
		return value
	}
	if list, ok := old.([]any); ok {
		return append(list, value)
	}
	return []any{old, value}
}

func (r *reader) array(depth int) (any, error) {
	out := []any{}
	for r.dec.More() {
		value, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		out = append(out, value)
	}
	_, err := r.dec.Token()
	return out, err
}

// number keeps what int64 or float64 hold exactly enough; the rest stays text, so
// that a 20-digit id is not rounded.
func number(n json.Number) any {
	if i, err := n.Int64(); err == nil {
		return i
	}
	f, err := n.Float64()
	if err != nil || math.IsInf(f, 0) || !strings.ContainsAny(n.String(), ".eE") {
		return n.String()
	}
	return f
}

// jsonEntity finds what the alert wants to know under the names that loggers use.
func jsonEntity(ev *Event) {
	ev.Time = jsonTime(ev.Fields)
	ev.Host = textOf(ev.Fields, "host", "hostname", "_HOSTNAME", "host.name")
	ev.Process = textOf(ev.Fields, "process", "program", "SYSLOG_IDENTIFIER", "_COMM", "process.name")
	ev.User = textOf(ev.Fields, "user", "username", "user.name")
	if pid, err := strconv.ParseInt(textOf(ev.Fields, "pid", "_PID", "process.pid"), 10, 64); err == nil {
		ev.PID = pid
	}
	if msg := textOf(ev.Fields, "message", "msg", "log", "MESSAGE"); msg != "" {
		ev.Message = msg
	}
	if ip, ok := address(textOf(ev.Fields, "src_ip", "source_ip", "client_ip", "remote_addr", "clientip", "remote_ip", "c-ip", "source.ip", "client.ip")); ok {
		ev.SourceIP = ip
	}
	if n, err := strconv.ParseUint(textOf(ev.Fields, "src_port", "source_port", "remote_port", "source.port"), 10, 16); err == nil {
		ev.SourcePort = uint16(n)
	}
}

// textOf returns the first of names that holds text or a whole number. A dotted
// name may also be nested.
func textOf(fields map[string]any, names ...string) string {
	for _, name := range names {
		switch v := lookup(fields, name).(type) {
		case string:
			if v != "" {
				return v
			}
		case int64:
			return strconv.FormatInt(v, 10)
		}
	}
	return ""
}

func lookup(fields map[string]any, name string) any {
	if v, ok := fields[name]; ok {
		return v
	}
	outer, inner, ok := strings.Cut(name, ".")
	if nested, isMap := fields[outer].(map[string]any); ok && isMap {
		return nested[inner]
	}
	return nil
}

// jsonTime reads RFC 3339 or a count since 1970, whose unit its size tells.
func jsonTime(fields map[string]any) time.Time {
	for _, name := range [...]string{"time", "timestamp", "@timestamp", "ts", "__REALTIME_TIMESTAMP", "eventTime", "date"} {
		switch v := fields[name].(type) {
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
