package parse

import (
	"net/netip"
	"strings"
	"time"

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
	Fields    map[string]any

	User       string
	SourceIP   netip.Addr
	SourcePort uint16
}

// set sets a field unless value is empty.
func (e *Event) set(name, value string) {
	if value != "" {
		e.Fields[name] = value
	}
}

func (e *Event) setAction(name string) { e.Fields["action"] = name }

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
	e.Fields["src_ip"] = ip.String()
}

func (e *Event) setPort(n uint16) {
	e.SourcePort = n
	e.Fields["src_port"] = int64(n)
}

// addCommonFields adds the fields of every event. Fields of the same name in a
// JSON line take precedence, except for raw.
func (e *Event) addCommonFields(raw string) {
	add := func(name string, value any) {
		if _, exists := e.Fields[name]; !exists {
			e.Fields[name] = value
		}
	}
	add("message", e.Message)
	e.Fields["raw"] = raw
	if e.Host != "" {
		add("host", e.Host)
	}
	if e.Process != "" {
		add("process", e.Process)
	}
	if e.PID != 0 {
		add("pid", e.PID)
	}
}

// parseAddress returns the address without zone, and an IPv4 address mapped into
// IPv6 as IPv4, so that every address has one form.
func parseAddress(s string) (netip.Addr, bool) {
	ip, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		return netip.Addr{}, false
	}
	return ip.WithZone("").Unmap(), true
}
