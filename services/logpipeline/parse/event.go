package parse

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/services/logpipeline/audit"
	"github.com/ironpost/ironpost/sigma"
)

// Event is one parsed line. Time is zero if the line has no timestamp, PID is 0
// and SourceIP invalid where unknown. Fields holds string, bool, int64, float64,
// nil, []any and map[string]any; it always has message and raw, and host, process
// and pid if the line names them.
type Event struct {
	Format    Format
	Time      time.Time
	Host      string
	Process   string
	PID       int64
	Message   string
	Logsource sigma.Logsource
	Fields    sigma.Fields

	User       string
	SourceIP   netip.Addr
	SourcePort uint16

	// Audit is the record of the Linux audit system that the line is; nil if it is none.
	Audit *audit.Record
	// More is what the line tells besides: other views of it for rules of other log sources. They have fields of their own.
	More []Event

	// Repeated is how many equal messages the line stands for, 0 if only for itself, at most 1000. OfLast is set if it
	// does not name them: they are equal to the line before it of the same source.
	Repeated int
	OfLast   bool

	settings         settings
	auditStamp       string // of a message that is an audit record; see Header
	inner            inner
	layer, outermost Format    // of the text that is parsed, and of the first envelope
	envelope         time.Time // see settleTime
	outerHost        string    // the host that the layers around a JSON object name
	outerProcess     string    // likewise the program
	trace            *trace    // nil if nobody asked for it
}

// settings are what a line is parsed with.
type settings struct {
	zone *time.Location // of timestamps without one
	now  time.Time      // when the line was received, or read
	// input is what its source is known to write. Format and TrustedProxies are for the layers that read formats and forwarded addresses.
	input Input
}

// setValue sets a field, also one that is empty. value is of the types of Fields.
func (e *Event) setValue(name string, value any) { e.Fields.Set(name, sigma.NewValue(value)) }

// set sets a field unless value is empty.
func (e *Event) set(name, value string) {
	if value != "" {
		e.Fields.Set(name, sigma.Text(value))
	}
}

func (e *Event) setInt(name string, value int64) { e.Fields.Set(name, sigma.Int(value)) }

func (e *Event) setFlag(name string) { e.Fields.Set(name, sigma.Bool(true)) }

// setList sets a field with several values.
func (e *Event) setList(name string, values []string) {
	list := make([]any, len(values))
	for i, v := range values {
		list[i] = v
	}
	e.Fields.Set(name, sigma.NewValue(list))
}

// has reports whether the field is set.
func (e *Event) has(name string) bool { _, ok := e.Fields.Get(name); return ok }

// drop removes fields.
func (e *Event) drop(names ...string) {
	e.Fields.Delete(func(name string) bool { return slices.Contains(names, name) })
}

// value returns a field. A dotted name may also be a nested one, at any depth.
func (e *Event) value(name string) any {
	if v, ok := e.Fields.Get(name); ok {
		return v.Any()
	}
	outer, path, dotted := strings.Cut(name, ".")
	if !dotted {
		return nil
	}
	v, _ := e.Fields.Get(outer)
	value := v.Any()
	for dotted {
		object, _ := value.(map[string]any)
		if inner, ok := object[path]; ok {
			return inner
		}
		outer, path, dotted = strings.Cut(path, ".")
		value = object[outer]
	}
	return nil
}

// text returns the first of names that is text and not empty, or an integer, or the first of a list of those, as which the values of
// members of the same name are kept. A dotted name may also be a nested one.
func (e *Event) text(names ...string) string {
	for _, name := range names {
		value := e.value(name)
		if list, ok := value.([]any); ok && len(list) > 0 {
			value = list[0]
		}
		v := sigma.NewValue(value)
		if _, isInt := v.Int64(); isInt || v.IsText() {
			if s := v.String(); s != "" {
				return s
			}
		}
	}
	return ""
}

func (e *Event) setAction(name string) { e.set("action", name) }

func (e *Event) setUser(name string) {
	e.User = name
	e.set("user", name)
}

// setSource sets the address that a connection came from. A host name goes to
// src_host instead, because a name cannot be blocked.
func (e *Event) setSource(peer string) {
	ip, ok := parseAddress(peer)
	if !ok {
		e.set("src_host", peer)
		return
	}
	e.SourceIP = ip
	e.set("src_ip", textOfAddress(ip, peer))
}

func (e *Event) setPort(n uint16) {
	e.SourcePort = n
	e.setInt("src_port", int64(n))
}

// finish adds the fields of every event. Fields of the same name in a
// JSON line take precedence, except for raw.
func (e *Event) finish(raw string) {
	e.auditStamp, e.settings, e.inner, e.layer, e.outermost, e.envelope, e.outerHost, e.outerProcess, e.trace = "", settings{}, inner{}, "", "", time.Time{}, "", "", nil
	if !e.has("message") {
		e.Fields.Set("message", sigma.Text(e.Message))
	}
	e.Fields.Set("raw", sigma.Text(raw))
	if e.Host != "" && !e.has("host") {
		e.set("host", e.Host)
	}
	if e.Process != "" && !e.has("process") {
		e.set("process", e.Process)
	}
	if e.PID != 0 && !e.has("pid") {
		e.setInt("pid", e.PID)
	}
}

// textOfAddress returns ip as text; written is how a line wrote it, whose memory is used if it is the same.
func textOfAddress(ip netip.Addr, written string) string {
	var b [64]byte
	if text := ip.AppendTo(b[:0]); string(text) != written {
		return string(text)
	}
	return written
}

// maxAddress is the length of the longest IPv6 address with an interface as zone, in brackets.
const maxAddress = 64

// parseAddress returns the address without zone, and an IPv4 address mapped into
// IPv6 as IPv4, so that every address has one form.
func parseAddress(s string) (netip.Addr, bool) {
	if !strings.ContainsAny(s, ".:") || len(s) > maxAddress { // most words; an error would cost an allocation
		return netip.Addr{}, false
	}
	ip, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		return netip.Addr{}, false
	}
	return ip.WithZone("").Unmap(), true
}
