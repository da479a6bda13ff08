package bus

import "slices"

// InFlight bounds what is delivered and not yet acknowledged, per durable; Packets also
// what a publisher of packets has sent and not yet seen stored. Zero means the default.
type InFlight struct {
	Packets int // 1024
	Alerts  int // 256
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
	FromNew       bool
}

// Durables returns the durables of the enabled modules on host. Only a durable of
// this table may stop a producer when its stream is full.
func Durables(host string, enabled map[string]bool, inFlight InFlight) []Durable {
	return slices.DeleteFunc(allDurables(host, inFlight.filled()), func(d Durable) bool { return !enabled[d.Module] })
}

func allDurables(host string, in InFlight) []Durable {
	return []Durable{
		{
			Stream: Packets, Name: LogPipeline + "_" + host, Module: LogPipeline,
			Filter: []string{PacketSubject("*", host)}, MaxAckPending: in.Packets,
		},
		{
			Stream: Alerts, Name: ContainerGuard + "_" + host, Module: ContainerGuard,
			Filter: []string{AlertSubject("*", host)}, MaxAckPending: in.Alerts, FromNew: true,
		},
		{
			Stream: Actions, Name: ActionCollector + "-audit_" + host, Module: ActionCollector,
			Filter: []string{ActionSubject("*", host)}, MaxAckPending: in.Actions,
		},
	}
}

// DurableOf returns module's durable on stream for host, false if the table has none.
func DurableOf(module string, stream StreamName, host string, inFlight InFlight) (Durable, bool) {
	all := allDurables(host, inFlight.filled())
	i := slices.IndexFunc(all, func(d Durable) bool { return d.Module == module && d.Stream == stream })
	if i < 0 {
		return Durable{}, false
	}
	return all[i], true
}

func (f InFlight) filled() InFlight {
	return InFlight{Packets: orDefault(f.Packets, 1024), Alerts: orDefault(f.Alerts, 256), Actions: orDefault(f.Actions, 256)}
}

func orDefault(n, otherwise int) int {
	if n <= 0 {
		return otherwise
	}
	return n
}
