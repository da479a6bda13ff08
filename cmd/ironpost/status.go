package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/cmd/internal/suite"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/health"
)

// discoverWait is how long services have to answer; on the bus of one machine
// they take a millisecond.
const discoverWait = 300 * time.Millisecond

// maxProbeReason is the length of a reason of the probe, in bytes, that is shown.
const maxProbeReason = 1000

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "show the health of all modules",
		Long: `Asks every daemon and module on the bus for its health and shows:
  - the hosts and the modules
  - why a module is not healthy: since when, how much, and what to do about it
    (the table of docs/operations.md); remarks, which degrade nothing, too
  - the inputs of the log pipeline: lines, their formats, the share that is of
    no known format, the age of the newest line, and what was lost
  - counters of what modules lost, such as dropped log lines
  - the streams of the bus: messages, size, and how much of the limit is used
  - the durables, through which modules read the streams: PENDING messages are
    still to be delivered, UNACKED ones are delivered and not acknowledged yet

A disabled module is "off", also in --json. The configuration file need not be
valid: the daemon runs on with what it read last, and says that a reload was
refused. Exits with 6 if an enabled module is degraded or unhealthy.`,
		Example: `  ironpost status
  ironpost status --json | jq '.modules[].details[]? | .text, .advice'
  ironpost status --json | jq '.inputs[] | {kind, name, lines, unparsed, lost}'
  ironpost status >/dev/null || echo "ironpost is not healthy"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.explainSilence(cmd.Context(), a.withTimeout(cmd.Context(), a.timeout, a.status))
		},
	}
}

// overview is the --json of status.
type overview struct {
	Status  event.Status         `json:"status"`
	Hosts   []hostHealth         `json:"hosts"`
	Modules []event.ModuleHealth `json:"modules"`
	Inputs  []inputStatus        `json:"inputs"` // of the log pipelines
	Chosen  []chosenInputs       `json:"chosen_inputs,omitempty"`
	Streams []bus.StreamState    `json:"streams"`
	Silent  []string             `json:"silent"`        // services that are on the bus but did not answer
	Bus     string               `json:"bus,omitempty"` // why the streams did not answer
}

// shownOverview is an overview with what the table of alarms says about the reasons.
type shownOverview struct {
	overview
	Modules []moduleStatus `json:"modules"`
}

type hostHealth struct {
	Host       string       `json:"host"`
	Status     event.Status `json:"status"`
	Version    string       `json:"version"`
	UptimeSecs uint64       `json:"uptime_secs"`
	Time       time.Time    `json:"time"`
	Durability string       `json:"durability,omitempty"` // see event.DaemonHealth
}

func (a *app) status(ctx context.Context, conn *bus.Conn) error {
	o, err := collectOverview(ctx, conn)
	if err != nil {
		return err
	}
	if a.json {
		err = a.printJSON(shownOverview{o, shownModules(o.Modules)})
	} else {
		a.printOverview(o)
	}
	if err == nil && o.Status != event.Healthy {
		return silentError(exitDegraded, "not everything is healthy")
	}
	return err
}

// explainSilence adds to the error of a local daemon whose bus does not answer what its probe says: a daemon that waits for space on the disk
// has no bus yet.
func (a *app) explainSilence(ctx context.Context, err error) error {
	var coded *codedError
	if !errors.As(err, &coded) || coded.code != exitUnreachable || a.url != "" {
		return err
	}
	cfg, _, loadErr := a.loadConfig()
	if loadErr != nil {
		return err
	}
	h, probeErr := suite.RequestHealth(ctx, cfg.Metrics, cfg.Metrics.Listen)
	if probeErr != nil || h.Status == event.Healthy {
		return err
	}
	var reasons []string
	for _, m := range h.Modules {
		for _, reason := range m.Reasons {
			reasons = append(reasons, m.Name+": "+event.Printable(reason, maxProbeReason))
		}
	}
	if len(reasons) == 0 {
		return err
	}
	return &codedError{code: exitUnreachable, err: fmt.Errorf("%w; the server of metrics.listen %s answers: %s", err, cfg.Metrics.Listen, strings.Join(reasons, "; "))}
}

func collectOverview(ctx context.Context, conn *bus.Conn) (overview, error) {
	o := overview{Hosts: []hostHealth{}, Modules: []event.ModuleHealth{}, Inputs: []inputStatus{}, Silent: []string{}}
	services, err := conn.Discover(ctx, discoverWait)
	if err != nil {
		return o, err
	}
	if len(services) == 0 {
		return o, fmt.Errorf("%w: no daemon and no module answered", bus.ErrUnreachable)
	}
	o.requestDaemons(ctx, conn, services)
	o.requestModules(ctx, conn, services)
	o.requestInputs(ctx, conn)
	o.Status = event.Worst(o.Modules)
	for _, h := range o.Hosts {
		o.Status = max(o.Status, h.Status)
	}
	if len(o.Silent) > 0 {
		o.Status = event.Unhealthy
	}
	table := durables(withoutEdges(o.Modules, conn.Host()))
	o.Streams, err = conn.StreamStates(ctx, table)
	if errors.Is(err, bus.ErrNoLeader) {
		o.Status, o.Streams, o.Bus = max(o.Status, event.Degraded), []bus.StreamState{}, err.Error()
		return o, nil
	}
	dropAbsentSinks(o.Streams, table)
	return o, err
}

// dropAbsentSinks removes the durables of sinks that do not exist: these are not configured. If
// one was deleted, its module says so.
func dropAbsentSinks(streams []bus.StreamState, table []bus.Durable) {
	for i := range streams {
		streams[i].Durables = slices.DeleteFunc(streams[i].Durables, func(state bus.DurableState) bool {
			return !state.Present && slices.ContainsFunc(table, func(d bus.Durable) bool { return d.Name == state.Name && d.Sink != "" })
		})
	}
}

func (o *overview) requestDaemons(ctx context.Context, conn *bus.Conn, services []bus.ServiceStatus) {
	for _, s := range services {
		if s.Module != bus.Daemon {
			continue
		}
		var h event.DaemonHealth
		if err := conn.Request(ctx, bus.VerbSubject(bus.Daemon, s.Host, "status"), nil, &h); err != nil {
			o.Silent = append(o.Silent, s.Module+" on "+s.Host)
			continue
		}
		// Only s.Host could answer, and it speaks for no other.
		o.Hosts = append(o.Hosts, hostHealth{Host: s.Host, Status: h.Status, Version: h.Version, UptimeSecs: h.UptimeSecs, Time: h.Time, Durability: h.Durability})
		for _, m := range h.Modules {
			m.Host = s.Host
			o.Modules = append(o.Modules, m)
		}
	}
}

// requestModules asks the modules that no daemon reported: they run in processes
// of their own.
func (o *overview) requestModules(ctx context.Context, conn *bus.Conn, services []bus.ServiceStatus) {
	for _, s := range services {
		reported := slices.ContainsFunc(o.Modules, func(m event.ModuleHealth) bool {
			return m.Name == s.Module && m.Host == s.Host && m.Enabled
		})
		if s.Module == bus.Daemon || reported {
			continue
		}
		var m event.ModuleHealth
		if err := conn.Request(ctx, bus.VerbSubject(s.Module, s.Host, "status"), nil, &m); err != nil {
			o.Silent = append(o.Silent, s.Module+" on "+s.Host)
			continue
		}
		m.Name, m.Host = s.Module, s.Host
		o.Modules = slices.DeleteFunc(o.Modules, func(off event.ModuleHealth) bool { // of the daemon beside it
			return off.Name == m.Name && off.Host == m.Host
		})
		o.Modules = append(o.Modules, m)
	}
}

// withoutEdges leaves out the modules of hosts that have a bus of their own and forward to this one,
// which is that of the daemon on host.
func withoutEdges(modules []event.ModuleHealth, host string) []event.ModuleHealth {
	edges := map[string]bool{}
	for _, m := range modules {
		edges[m.Host] = edges[m.Host] || m.Name == bus.Forwarder && m.Host != host
	}
	return slices.DeleteFunc(slices.Clone(modules), func(m event.ModuleHealth) bool { return edges[m.Host] })
}

// durables returns the durables of the enabled modules, with those of every sink.
func durables(modules []event.ModuleHealth) []bus.Durable {
	enabled := map[string]map[string]bool{}
	for _, m := range modules {
		if enabled[m.Host] == nil {
			enabled[m.Host] = map[string]bool{}
		}
		enabled[m.Host][m.Name] = enabled[m.Host][m.Name] || m.Enabled
		enabled[m.Host][bus.SinkName(m.Name, bus.SinkPostgreSQL)] = true
	}
	var out []bus.Durable
	for host, names := range enabled {
		out = append(out, bus.Durables(host, names, bus.InFlight{})...)
	}
	slices.SortFunc(out, func(x, y bus.Durable) int { return strings.Compare(x.Name, y.Name) })
	return out
}

func (a *app) printOverview(o overview) {
	hosts := rows{columns: []column{{"HOST", 40}, {"STATUS", 10}, {"UPTIME", 14}, {"VERSION", 40}}}
	durability := rows{columns: []column{{"HOST", 40}, {"DURABILITY OF STORED ALERTS", 80}}}
	modules := rows{columns: []column{{"MODULE", 40}, {"HOST", 40}, {"STATUS", 10}, {"SINCE", 25}}}
	losses := rows{columns: []column{{"LOST BY", 40}, {"HOST", 40}, {"WHAT", 60}, {"HOW MUCH", 20}}}
	streams := rows{columns: []column{{"STREAM", 20}, {"MESSAGES", 12}, {"SIZE", 10}, {"USED", 6}, {"LAST", 12}}}
	durables := rows{columns: []column{{"DURABLE", 60}, {"STREAM", 20}, {"STATE", 8}, {"PENDING", 10}, {"UNACKED", 8}, {"REDELIVERED", 11}}}
	for _, h := range o.Hosts {
		uptime := time.Duration(h.UptimeSecs) * time.Second
		hosts.add(h.Host, h.Status.String(), uptime.String(), h.Version)
		if h.Durability != "" {
			durability.add(h.Host, h.Durability)
		}
	}
	for _, m := range o.Modules {
		modules.add(m.Name, m.Host, statusWord(m), a.time(m.Since))
		for _, name := range lossCounters(m) {
			losses.add(m.Name, m.Host, name, strconv.FormatUint(m.Counters[name], 10))
		}
	}
	for _, s := range o.Silent {
		modules.add(s, "", event.Unhealthy.String(), "")
	}
	if o.Bus != "" {
		modules.add("bus", "", event.Degraded.String(), "")
	}
	for _, s := range o.Streams {
		streams.add(string(s.Name), strconv.FormatUint(s.Messages, 10), byteSize(s.Bytes), percentUsed(s), strconv.FormatUint(s.LastSeq, 10))
		for _, d := range s.Durables {
			state := "present"
			if !d.Present {
				state = "missing"
			}
			durables.add(d.Name, shortStream(s.Name), state, strconv.FormatUint(d.Pending, 10), strconv.Itoa(d.AckPending), strconv.Itoa(d.Redelivered))
		}
	}
	a.printTables(hosts, durability, modules)
	a.printReasons(o)
	a.printf("")
	a.printChosen(o.Chosen)
	a.printTimes(o.Inputs)
	a.printTables(a.inputTable(o.Inputs), losses, streams, durables)
}

// shortStream returns the name of a stream as in the table of durables: a line of it fits 80 columns.
func shortStream(name bus.StreamName) string {
	return strings.ToLower(strings.TrimPrefix(string(name), "IRONPOST_"))
}

// lossCounters returns, sorted, the names of the counters above zero that count
// losses. Those of single interfaces (name:interface) are left out, their sum is
// shown.
func lossCounters(m event.ModuleHealth) []string {
	var out []string
	for name, n := range m.Counters {
		if n > 0 && health.IsLoss(name) && !strings.Contains(name, ":") {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func percentUsed(s bus.StreamState) string {
	if s.MaxBytes <= 0 {
		return "-"
	}
	return strconv.FormatUint(s.Bytes*100/uint64(s.MaxBytes), 10) + "%"
}

// byteSize formats n in powers of 1024.
func byteSize(n uint64) string {
	const units = "KMGT"
	if n < 1<<10 {
		return strconv.FormatUint(n, 10) + " B"
	}
	i, f := 0, float64(n)/1024
	for ; f >= 1024 && i < len(units)-1; i++ {
		f /= 1024
	}
	return fmt.Sprintf("%.1f %ciB", f, units[i])
}
