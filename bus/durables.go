package bus

import "slices"

// InFlight bounds the deliveries of a durable that are not acknowledged, by stream; Packets
// also bounds the pending publishes of packets. Zero means the default.
type InFlight struct {
	Packets int // 1024
	Alerts  int // 16384
	Actions int // 256
}

// Durable is one row of the table of durables: a consumer the server remembers by
// name. Filter holds the subjects it gets; with FromNew its first start skips what
// the stream already holds.
type Durable struct {
	Stream        StreamName
	Name          string
	Filter        []string
	MaxAckPending int
	Module        string
	Sink          string // of Module; empty: it is the module's own
	FromNew       bool
	// Known is where it was, from elsewhere than the server; nil if that is not known. Provision makes a missing one start there.
	Known *Position
}

// Durables returns the durables on host of the modules and sinks in enabled, which has
// the names of modules, and those of SinkName. Only a durable of this table may stop a
// producer when its stream is full.
func Durables(host string, enabled map[string]bool, inFlight InFlight) []Durable {
	var out []Durable
	for _, m := range append(slices.Clone(modules), forwarder()) {
		for _, d := range m.durables(host, inFlight.filled()) {
			if enabled[m.Name] && (d.Sink == "" || enabled[SinkName(m.Name, d.Sink)]) {
				out = append(out, d)
			}
		}
	}
	return out
}

// DurableOf returns module's own durable on stream for host, false if the table has none.
func DurableOf(module string, stream StreamName, host string, inFlight InFlight) (Durable, bool) {
	return SinkDurable(module, "", stream, host, inFlight)
}

// SinkDurable is DurableOf for a sink of module.
func SinkDurable(module, sink string, stream StreamName, host string, inFlight InFlight) (Durable, bool) {
	m, _ := moduleNamed(module)
	for _, d := range m.durables(host, inFlight.filled()) {
		if d.Stream == stream && d.Sink == sink {
			return d, true
		}
	}
	return Durable{}, false
}

// of returns the bound of a durable on stream.
func (f InFlight) of(stream StreamName) int {
	switch stream {
	case Packets:
		return f.Packets
	case Alerts:
		return f.Alerts
	}
	return f.Actions
}

func (f InFlight) filled() InFlight {
	return InFlight{Packets: orDefault(f.Packets, 1024), Alerts: orDefault(f.Alerts, 16_384), Actions: orDefault(f.Actions, 256)}
}

func orDefault(n, otherwise int) int {
	if n <= 0 {
		return otherwise
	}
	return n
}
