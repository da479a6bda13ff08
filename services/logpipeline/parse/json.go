package parse

import (
	"cmp"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/sigma"
)

// parseJSON parses a text that is a JSON object, or begins with one, and reports whether it is one. Its members become fields. An object
// around a line leaves that in ev.inner; see jsonEnvelopes. Of others, well-known names give the event its time, host, user and source, and
// the first of jsonFormats that knows the members adds fields of its own.
//
// What is odd about the text is the field json_oddity, and what of it is not understood the field json_rest.
func parseJSON(ev *Event, text string) bool {
	members, odd, rest, ok := scanJSON(text)
	if !ok {
		return false
	}
	ev.setMembers(members, odd, rest)
	named := ev.Process != "" // then the object is a message of that program, whatever it looks like
	for _, e := range jsonEnvelopes {
		if !named && e.cut(ev) {
			ev.enter(e.name)
			return true
		}
	}
	ev.Logsource = sigma.Logsource{Category: "application"}
	ev.outerHost, ev.outerProcess = ev.Host, ev.Process
	setKnownFields(ev)
	if ev.parseDescribedObject() {
		return true
	}
	for _, f := range jsonFormats {
		if f.parse(ev) {
			ev.layer = f.name
			return true
		}
	}
	for _, e := range jsonRecords {
		if !named && e.cut(ev) {
			ev.SourceIP, ev.SourcePort, ev.User = netip.Addr{}, 0, ""
			ev.enter(e.name)
			return true
		}
	}
	return true
}

// setMembers sets the members of an object. Layers around it take precedence: a member of the name of a field is the field "inner." and its name.
func (e *Event) setMembers(members []member, odd []string, rest string) {
	for _, m := range members {
		if e.has(m.name) {
			m.name = "inner." + m.name
		}
		e.setValue(m.name, m.value)
	}
	if len(odd) == 1 {
		e.set("json_oddity", odd[0])
	} else if len(odd) > 1 {
		e.setList("json_oddity", odd)
	}
	e.set("json_rest", rest)
}

// parseObjectBehindText parses a text that ends with an object. Whoever wrote the text before it may have put the object there, so that
// its members become fields and nothing more, unless the text is the cookie of CEE.
func parseObjectBehindText(ev *Event, text string) bool {
	start := strings.Index(text, `{"`)
	if start <= 0 {
		return false
	}
	if cookie := strings.TrimSpace(text[:start]); cookie == "@cee:" {
		return parseJSON(ev, text[start:])
	}
	members, odd, rest, ok := scanJSON(text[start:])
	if !ok || rest != "" || slices.Contains(odd, oddIncomplete) {
		return false
	}
	ev.setMembers(members, append(odd, oddLeading), "")
	if ev.Logsource == (sigma.Logsource{}) {
		ev.Logsource.Category = "application"
	}
	return true
}

// setKnownFields sets the attributes of the event from the names that common
// loggers use.
func setKnownFields(ev *Event) {
	if at := ev.memberTime(); !at.IsZero() {
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
	if ip, ok := parseAddress(ev.text(sourceNames...)); ok && !ev.disagree(sourceNames) {
		ev.SourceIP = ip
	}
	if n, err := strconv.ParseUint(ev.text("src_port", "source_port", "remote_port", "source.port"), 10, 16); err == nil {
		ev.SourcePort = uint16(n)
	}
}

// disagree reports whether a member of one of names comes several times with different values: one of them may be what a client wrote into a
// text that was not escaped.
func (e *Event) disagree(names []string) bool {
	for _, name := range names {
		list, _ := e.value(name).([]any)
		if slices.ContainsFunc(list, func(v any) bool { return !reflect.DeepEqual(v, list[0]) }) {
			return true
		}
	}
	return false
}

// sourceNames are the names of members that have the address of a client.
var sourceNames = []string{"src_ip", "source_ip", "client_ip", "remote_addr", "clientip", "remote_ip", "c-ip", "source.ip", "client.ip"}

// timeNames are the names of members that say when something happened, the more exact ones first.
var timeNames = [...]string{"time", "timestamp", "@timestamp", "ts", "__REALTIME_TIMESTAMP", "eventTime", "timereported", "ISODATE", "date", "DATE", "timegenerated"}

// memberTime returns the time that a JSON object says: a text as at the start of a line, or a number of units since 1970.
func (e *Event) memberTime() time.Time {
	for _, name := range timeNames {
		value, _ := e.Fields.Get(name)
		switch v := value.Any().(type) {
		case string:
			if t, rest, ok := e.settings.cutTimestamp(v); ok && rest == "" {
				return t.at
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

// since1970Text is since1970 of digits; zero for all else.
func since1970Text(text string) time.Time {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return since1970(n)
}
