package parse

import (
	"net/netip"
	"strings"
	"time"

	"github.com/ironpost/ironpost/sigma"
)

// Format says how a line was read.
type Format string

// The formats. Plain is a line that no parser knew.
const (
	Plain       Format = "plain"
	RFC3164     Format = "rfc3164"
	RFC5424     Format = "rfc5424"
	JSON        Format = "json"
	Access      Format = "access"
	ApacheError Format = "apache_error"
)

// Event is one line, read. Time is zero if the line has no clock of its own, PID
// is 0 and SourceIP invalid where unknown. Fields holds string, bool, int64,
// float64, nil, []any and map[string]any; it always has message and raw, and
// host, process and pid where the line names them.
type Event struct {
	Format    Format
	Time      time.Time
	Host      string
	Process   string
	PID       int64
	Message   string
	Logsource sigma.Logsource
	Fields    map[string]any

	User       string
	SourceIP   netip.Addr
	SourcePort uint16
}

func (e *Event) set(name, value string) {
	if value != "" {
		e.Fields[name] = value
	}
}

func (e *Event) action(name string) { e.Fields["action"] = name }

func (e *Event) user(name string) {
	e.User = name
	e.set("user", name)
}

// source notes where a connection came from: an address, or a name that is kept
// apart because nobody may be blocked by name.
func (e *Event) source(peer string) {
	ip, ok := address(peer)
	if !ok {
		e.set("src_host", peer)
		return
	}
	e.SourceIP = ip
	e.Fields["src_ip"] = ip.String()
}

func (e *Event) port(n uint16) {
	e.SourcePort = n
	e.Fields["src_port"] = int64(n)
}

// service routes the event to the rules of one Linux service.
func (e *Event) service(name string) {
	e.Logsource = sigma.Logsource{Product: "linux", Service: name}
}

// address reads an address as one identity: without zone, and an IPv4 address
// mapped into IPv6 as IPv4.
func address(s string) (netip.Addr, bool) {
	ip, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		return netip.Addr{}, false
	}
	return ip.WithZone("").Unmap(), true
}
