package bus

import (
	"slices"

	"github.com/ironpost/ironpost/event"
)

// The names of the modules, as in subjects, durables and logs.
const (
	EBPFEngine      = "ebpf-engine"
	LogPipeline     = "log-pipeline"
	SBOMScanner     = "sbom-scanner"
	ContainerGuard  = "container-guard"
	ActionCollector = "action-collector"
)

// SinkPostgreSQL is the sink that stores records in PostgreSQL.
const SinkPostgreSQL = "postgres"

// Module is one row of the table of modules: all that the bus knows of a module. Its
// permissions, durables, users and keys follow from its row.
type Module struct {
	Name     string         // one token; in subjects, durables, binaries and logs
	Produces []StreamName   // it publishes on its own subject of these streams
	Consumes []Subscription // durables, one for each
	Reads    []string       // buckets
	Writes   []string       // buckets
	Asks     []Question     // verbs of other modules of its host

	// Ceiling is the strongest trust that its records may claim, see Conn.Ceiling.
	Ceiling event.Trust
}

// Question is a verb of a module that another module may ask.
type Question struct{ Module, Verb string }

// Subscription says which stream a module consumes, through a durable of its own.
type Subscription struct {
	Stream  StreamName
	Purpose string // part of the durable's name, which is unique over all streams; may be empty
	FromNew bool   // the first start skips what the stream already holds

	// Sink is for a store that may be configured or not: the durable exists only where it is, and gets
	// the records of every host on this bus, not only its own. Empty: neither.
	Sink string
}

// SinkName returns how Durables is told that a sink of module is configured.
func SinkName(module, sink string) string { return module + "-" + sink }

// modules is the table.
var modules = []Module{
	{Name: EBPFEngine, Produces: []StreamName{Packets, Actions}, Reads: []string{BlocklistBucket}, Ceiling: event.TrustKernel},
	{Name: LogPipeline, Produces: []StreamName{Alerts}, Consumes: []Subscription{{Stream: Packets}}, Ceiling: event.TrustKernel},
	{Name: SBOMScanner, Produces: []StreamName{Alerts}, Ceiling: event.TrustContainer},
	{
		Name: ContainerGuard, Produces: []StreamName{Actions}, Consumes: []Subscription{{Stream: Alerts, FromNew: true}},
		Reads: []string{BlocklistBucket, TrustBucket}, Writes: []string{BlocklistBucket},
		Asks: []Question{{EBPFEngine, VerbNetworkEvidence}},
	},
	{
		Name: ActionCollector, Consumes: []Subscription{
			{Stream: Actions, Purpose: "-audit"},
			{Stream: Alerts, Purpose: "-postgres-alerts", Sink: SinkPostgreSQL},
			{Stream: Actions, Purpose: "-postgres-actions", Sink: SinkPostgreSQL},
		},
		Reads: []string{AuditBucket}, Writes: []string{AuditBucket},
	},
}

// forwarder is the row of the forwarder, which is in no table of modules: it is a part of the daemon.
func forwarder() Module {
	return Module{
		Name: Forwarder, Reads: []string{BlocklistBucket},
		Consumes: []Subscription{{Stream: Alerts, Purpose: "-alerts"}, {Stream: Actions, Purpose: "-actions"}},
	}
}

// ModuleNames returns the name of each module of the table.
func ModuleNames() []string {
	names := make([]string, len(modules))
	for i, m := range modules {
		names[i] = m.Name
	}
	return names
}

// IsModule reports whether the table has a module of that name.
func IsModule(name string) bool { return slices.Contains(ModuleNames(), name) }

// everyModule is the argument of Durables for the whole table, sinks included.
func everyModule() map[string]bool {
	all := map[string]bool{Forwarder: true}
	for _, m := range modules {
		all[m.Name] = true
		for _, c := range m.Consumes {
			all[SinkName(m.Name, c.Sink)] = true
		}
	}
	return all
}

func moduleNamed(name string) (Module, bool) {
	if name == Forwarder {
		return forwarder(), true
	}
	i := slices.IndexFunc(modules, func(m Module) bool { return m.Name == name })
	if i < 0 {
		return Module{}, false
	}
	return modules[i], true
}

// durables returns the durables of m on host, those of every sink included; in must be filled.
func (m Module) durables(host string, in InFlight) []Durable {
	var out []Durable
	for _, c := range m.Consumes {
		d := Durable{
			Stream: c.Stream, Name: m.Name + c.Purpose + "_" + host, Module: m.Name, Sink: c.Sink, FromNew: c.FromNew,
			Filter: []string{subjectOf(c.Stream, "*", host)}, MaxAckPending: in.of(c.Stream),
		}
		if c.Sink != "" {
			d.Filter = []string{subjectOf(c.Stream, "*", "*")}
		}
		out = append(out, d)
	}
	return out
}
