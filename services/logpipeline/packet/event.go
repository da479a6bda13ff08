package packet

import (
	"encoding/json"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/sigma"
)

// Parts of the logsource of every event.
const (
	Category = "network"
	Product  = "ironpost"
)

// The services of the logsource, one for each kind of event.
const (
	Detection = "detection"
	Window    = "window"
	Flow      = "flow"
	Blocked   = "blocked"
)

// Event is one event of a record. Source and Target are invalid where unknown; Source also if it may be
// forged. Entity names actor and target: events that differ in it are never deduplicated.
type Event struct {
	Index     int       // in its record; part of its identity
	Began     time.Time // equal to Time for an event without a duration
	Time      time.Time
	Logsource sigma.Logsource
	Fields    map[string]any
	Message   string
	Raw       string // JSON
	Source    netip.AddrPort
	Target    netip.AddrPort
	Network   netip.Prefix // the target where it is a network; Target is then invalid
	Entity    string
}

// Source returns the logsource of a service of this package.
func Source(service string) sigma.Logsource {
	return sigma.Logsource{Category: Category, Product: Product, Service: service}
}

// Events returns the events of p, a valid record. It skips those of a logsource that is not wanted: a record
// may hold hundreds of samples that no rule needs.
func Events(p *event.Packet, wanted func(sigma.Logsource) bool) []Event {
	r := reader{p: p}
	switch {
	case p.Detection != nil && wanted(Source(Detection)):
		r.detection(p.Detection)
	case p.Window != nil && wanted(Source(Window)):
		r.window(p.Window)
	case p.Flows != nil && wanted(Source(Flow)):
		for _, f := range p.Flows {
			r.flow(f)
		}
	case p.Blocked != nil && wanted(Source(Blocked)):
		for _, b := range p.Blocked {
			r.blocked(b)
		}
	}
	return r.out
}

type reader struct {
	p   *event.Packet
	out []Event
}

// add completes e and appends it.
func (r *reader) add(service string, e Event, part any) {
	raw, err := json.Marshal(part)
	if err == nil {
		e.Raw = string(raw)
	}
	e.Index, e.Time, e.Logsource = len(r.out), r.p.Time, Source(service)
	if e.Began.IsZero() {
		e.Began = e.Time
	}
	f := e.Fields
	f["kind"], f["host"], f["interface"] = string(r.p.Kind), r.p.Host, r.p.Interface
	f["sampling"], f["lost"] = int64(r.p.Sampling), number(r.p.Lost)
	f["message"], f["raw"] = e.Message, e.Raw
	r.out = append(r.out, e)
}

func (r *reader) detection(d *event.TrafficFinding) {
	e := Event{
		Began: r.p.Time.Add(-millis(d.DurationMS)), Source: netip.AddrPortFrom(address(d.Actor), 0),
		Target: endpoint(d.Target), Message: sentence(d),
	}
	if p, err := netip.ParsePrefix(d.Target.IP); err == nil {
		e.Network, e.Target = p.Masked(), netip.AddrPort{}
	}
	e.Entity = detectionEntity(d, e)
	e.Fields = map[string]any{
		"name": d.Name, "actor": d.Actor, "duration_ms": d.DurationMS, "counts": numbers(d.Counts),
	}
	set(e.Fields, "method", d.Method)
	set(e.Fields, "phase", d.Phase)
	set(e.Fields, "direction", d.Direction)
	set(e.Fields, "nat_address", d.NATAddress)
	if d.MayBeDecoy {
		e.Fields["may_be_decoy"] = true
	}
	setAddress(e.Fields, "src", e.Source)
	setAddress(e.Fields, "dst", e.Target)
	if e.Network.IsValid() {
		e.Fields["dst_network"] = e.Network.String()
		if d.Target.Port != 0 {
			e.Fields["dst_port"] = int64(d.Target.Port)
		}
	}
	setList(e.Fields, "ports", d.Ports, func(p uint16) any { return int64(p) })
	setList(e.Fields, "hosts", d.Hosts, text)
	setList(e.Fields, "lacking", d.Lacking, text)
	r.add(Detection, e, d)
}

// detectionEntity names what an attack is: by whom and at what, and of a flood also the method and the port, because floods of other
// ports are others. The port of a scan may change while it goes on.
func detectionEntity(d *event.TrafficFinding, e Event) string {
	target := targetOf(e.Target)
	if e.Network.IsValid() {
		target = e.Network.String()
	}
	entity := "actor:" + d.Actor + ",target:" + target
	if strings.HasSuffix(d.Name, "_scan") {
		return entity
	}
	return entity + ",method:" + d.Method + ",port:" + strconv.Itoa(int(d.Target.Port))
}

func (r *reader) window(w *event.TrafficWindow) {
	e := Event{
		Began: r.p.Time.Add(-millis(w.DurationMS)), Entity: "interface:" + r.p.Interface,
		Message: join(r.p.Interface, ":", count(w.Packets), "packets,", count(w.Bytes), "bytes,", count(w.Dropped), "dropped in", millis(w.DurationMS).String()),
		Fields: map[string]any{
			"packets": number(w.Packets), "bytes": number(w.Bytes), "dropped": number(w.Dropped),
			"duration_ms": w.DurationMS, "classes": numbers(w.Classes),
		},
	}
	setList(e.Fields, "talkers", w.Talkers, func(t event.Talker) any { return t.IP })
	r.add(Window, e, w)
}

func (r *reader) flow(f event.Flow) {
	e := Event{
		Source: endpoint(f.Source), Target: endpoint(f.Target),
		Message: join(f.Protocol, f.Flags, show(f.Source), "to", show(f.Target)),
		Fields:  map[string]any{"protocol": f.Protocol, "bytes": int64(f.Bytes)},
	}
	e.Entity = "actor:" + f.Source.IP + ",target:" + targetOf(e.Target)
	set(e.Fields, "flags", f.Flags)
	setAddress(e.Fields, "src", e.Source)
	setAddress(e.Fields, "dst", e.Target)
	r.add(Flow, e, f)
}

func (r *reader) blocked(b event.BlockedTraffic) {
	e := Event{
		Source: netip.AddrPortFrom(single(b.Prefix), 0), Entity: "blocked:" + b.Prefix,
		Message: join("blocked", b.Prefix, ":", count(b.Packets), "packets,", count(b.Bytes), "bytes"),
		Fields:  map[string]any{"prefix": b.Prefix, "packets": number(b.Packets), "bytes": number(b.Bytes)},
	}
	set(e.Fields, "reason", b.Reason)
	setAddress(e.Fields, "src", e.Source)
	r.add(Blocked, e, b)
}

// address parses s without zone, and IPv4 in IPv6 as IPv4, so that one address has one form. It is invalid if
// s is none.
func address(s string) netip.Addr {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return a.WithZone("").Unmap()
}

// single returns the address of a prefix that holds just one, otherwise an invalid one.
func single(prefix string) netip.Addr {
	p, err := netip.ParsePrefix(prefix)
	if err != nil {
		return address(prefix)
	}
	if !p.IsSingleIP() {
		return netip.Addr{}
	}
	return p.Addr().Unmap()
}

func endpoint(e event.Endpoint) netip.AddrPort { return netip.AddrPortFrom(address(e.IP), e.Port) }

// targetOf returns the target without its port, which may change during one attack.
func targetOf(a netip.AddrPort) string {
	if !a.Addr().IsValid() {
		return "unknown"
	}
	return a.Addr().String()
}

func millis(n int64) time.Duration {
	return time.Duration(min(max(n, 0), math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
}

// number returns n as Sigma compares it.
func number(n uint64) int64 { return int64(min(n, math.MaxInt64)) }

func numbers(in map[string]uint64) map[string]any {
	out := make(map[string]any, len(in))
	for name, n := range in {
		out[name] = number(n)
	}
	return out
}

func set(fields map[string]any, name, value string) {
	if value != "" {
		fields[name] = value
	}
}

func setAddress(fields map[string]any, side string, a netip.AddrPort) {
	if !a.Addr().IsValid() {
		return
	}
	fields[side+"_ip"] = a.Addr().String()
	if a.Port() != 0 {
		fields[side+"_port"] = int64(a.Port())
	}
}

func setList[T any](fields map[string]any, name string, in []T, value func(T) any) {
	if len(in) == 0 {
		return
	}
	out := make([]any, 0, len(in))
	for _, v := range in {
		out = append(out, value(v))
	}
	fields[name] = out
}

func text(s string) any { return s }

func count(n uint64) string { return strconv.FormatUint(n, 10) }
