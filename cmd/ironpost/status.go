package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
)

// discoverWait is how long hosts have to answer; on a bus of one machine they need a millisecond.
const discoverWait = 300 * time.Millisecond

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "is everything running, and if not, why",
		Long: `Asks every daemon and module on the bus how it is, and shows what the streams
hold and how far their readers are. Exits with 6 if anything that is enabled is
degraded or unhealthy.`,
		Example: `  ironpost status
  ironpost status --json | jq -r '.modules[] | select(.status != "healthy") | .reasons[]'
  ironpost status >/dev/null || echo "look at ironpost"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.ask(cmd.Context(), a.status)
		},
	}
}

// overview is the --json of status.
type overview struct {
	Status  event.Status         `json:"status"`
	Hosts   []hostHealth         `json:"hosts"`
	Modules []event.ModuleHealth `json:"modules"`
	Streams []streamState        `json:"streams"`
	Silent  []string             `json:"silent"` // services that were seen but did not answer
}

type hostHealth struct {
	Host       string       `json:"host"`
	Status     event.Status `json:"status"`
	Version    string       `json:"version"`
	UptimeSecs uint64       `json:"uptime_secs"`
	Time       time.Time    `json:"time"`
}

type streamState struct {
	Name     string         `json:"name"`
	Messages uint64         `json:"messages"`
	Bytes    uint64         `json:"bytes"`
	MaxBytes int64          `json:"max_bytes"`
	FirstSeq uint64         `json:"first_seq"`
	LastSeq  uint64         `json:"last_seq"`
	Durables []durableState `json:"durables"`
}

type durableState struct {
	Name        string `json:"name"`
	Present     bool   `json:"present"`
	Pending     uint64 `json:"pending"`
	AckPending  int    `json:"ack_pending"`
	Redelivered int    `json:"redelivered"`
}

func (a *app) status(ctx context.Context, conn *bus.Conn) error {
	o, err := look(ctx, conn)
	if err != nil {
		return err
	}
	if a.json {
		err = a.printJSON(o)
	} else {
		err = a.printOverview(o)
	}
	if err == nil && o.Status != event.Healthy {
		return shown(exitDegraded, "not everything is healthy")
	}
	return err
}

func look(ctx context.Context, conn *bus.Conn) (overview, error) {
	o := overview{Hosts: []hostHealth{}, Modules: []event.ModuleHealth{}, Silent: []string{}}
	services, err := conn.Discover(ctx, discoverWait)
	if err != nil {
		return o, err
	}
	if len(services) == 0 {
		return o, fmt.Errorf("%w: no daemon and no module answered", bus.ErrUnreachable)
	}
	o.askDaemons(ctx, conn, services)
	o.askModules(ctx, conn, services)
	o.sum()
	o.Streams, err = streams(ctx, conn, o.Modules)
	return o, err
}

func (o *overview) askDaemons(ctx context.Context, conn *bus.Conn, services []bus.ServiceStatus) {
	for _, s := range services {
		if s.Module != bus.Daemon {
			continue
		}
		var h event.DaemonHealth
		if err := conn.Request(ctx, bus.VerbSubject(bus.Daemon, s.Host, "status"), nil, &h); err != nil {
			o.Silent = append(o.Silent, s.Module+" on "+s.Host)
			continue
		}
		o.Hosts = append(o.Hosts, hostHealth{Host: h.Host, Status: h.Status, Version: h.Version, UptimeSecs: h.UptimeSecs, Time: h.Time})
		for _, m := range h.Modules {
			m.Host = cmp.Or(m.Host, h.Host)
			o.Modules = append(o.Modules, m)
		}
	}
}

// askModules asks those that no daemon has spoken for: they run in processes of their own.
func (o *overview) askModules(ctx context.Context, conn *bus.Conn, services []bus.ServiceStatus) {
	for _, s := range services {
		if s.Module == bus.Daemon || o.knows(s) {
			continue
		}
		var m event.ModuleHealth
		if err := conn.Request(ctx, bus.VerbSubject(s.Module, s.Host, "status"), nil, &m); err != nil {
			o.Silent = append(o.Silent, s.Module+" on "+s.Host)
			continue
		}
		o.Modules = append(o.Modules, m)
	}
}

func (o *overview) knows(s bus.ServiceStatus) bool {
	return slices.ContainsFunc(o.Modules, func(m event.ModuleHealth) bool {
		return m.Name == s.Module && m.Host == s.Host && m.Enabled
	})
}

// sum takes the worst of all; one that is there and does not answer is unhealthy.
func (o *overview) sum() {
	o.Status = event.Worst(o.Modules)
	for _, h := range o.Hosts {
		o.Status = max(o.Status, h.Status)
	}
	if len(o.Silent) > 0 {
		o.Status = event.Unhealthy
	}
}

func streams(ctx context.Context, conn *bus.Conn, modules []event.ModuleHealth) ([]streamState, error) {
	states, err := conn.StreamStates(ctx, durables(modules))
	if err != nil {
		return nil, err
	}
	out := make([]streamState, 0, len(states))
	for _, s := range states {
		shown := streamState{
			Name: string(s.Name), Messages: s.Messages, Bytes: s.Bytes, MaxBytes: s.MaxBytes,
			FirstSeq: s.FirstSeq, LastSeq: s.LastSeq, Durables: []durableState{},
		}
		for _, d := range s.Durables {
			shown.Durables = append(shown.Durables, durableState{d.Name, d.Present, d.Pending, d.AckPending, d.Redelivered})
		}
		out = append(out, shown)
	}
	return out, nil
}

// durables returns the durables that the enabled modules read through.
func durables(modules []event.ModuleHealth) []bus.Durable {
	enabled := map[string]map[string]bool{}
	for _, m := range modules {
		if enabled[m.Host] == nil {
			enabled[m.Host] = map[string]bool{}
		}
		enabled[m.Host][m.Name] = enabled[m.Host][m.Name] || m.Enabled
	}
	var out []bus.Durable
	for host, names := range enabled {
		out = append(out, bus.Durables(host, names, bus.InFlight{})...)
	}
	slices.SortFunc(out, func(x, y bus.Durable) int { return strings.Compare(x.Name, y.Name) })
	return out
}

func (a *app) printOverview(o overview) error {
	var hosts, modules, losses, streams, durables [][]string
	for _, h := range o.Hosts {
		uptime := time.Duration(h.UptimeSecs) * time.Second
		hosts = append(hosts, []string{h.Host, h.Status.String(), uptime.String(), h.Version})
	}
	for _, m := range o.Modules {
		modules = append(modules, []string{m.Name, m.Host, moduleStatus(m), a.when(m.Since), strings.Join(m.Reasons, "; ")})
		for _, name := range lossesOf(m) {
			losses = append(losses, []string{m.Name, m.Host, name, strconv.FormatUint(m.Counters[name], 10)})
		}
	}
	for _, s := range o.Silent {
		modules = append(modules, []string{s, "", event.Unhealthy.String(), "", "is on the bus but does not answer"})
	}
	for _, s := range o.Streams {
		streams = append(streams, []string{s.Name, strconv.FormatUint(s.Messages, 10), size(s.Bytes), percent(s), strconv.FormatUint(s.LastSeq, 10)})
		for _, d := range s.Durables {
			durables = append(durables, []string{d.Name, s.Name, presence(d), strconv.FormatUint(d.Pending, 10), strconv.Itoa(d.AckPending), strconv.Itoa(d.Redelivered)})
		}
	}
	return a.printTables(
		part{[]column{{"HOST", 40}, {"STATUS", 10}, {"UPTIME", 14}, {"VERSION", 40}}, hosts},
		part{[]column{{"MODULE", 40}, {"HOST", 40}, {"STATUS", 10}, {"SINCE", 25}, {"WHY", 400}}, modules},
		part{[]column{{"LOST BY", 40}, {"HOST", 40}, {"WHAT", 60}, {"HOW MUCH", 20}}, losses},
		part{[]column{{"STREAM", 20}, {"MESSAGES", 12}, {"SIZE", 10}, {"USED", 6}, {"LAST", 12}}, streams},
		part{[]column{{"READER", 60}, {"STREAM", 20}, {"STATE", 8}, {"WAITING", 10}, {"UNACKED", 8}, {"AGAIN", 11}}, durables},
	)
}

// lossesOf returns, sorted, the names of the counters that tell what m had to leave.
// Those of one interface are in a sum.
func lossesOf(m event.ModuleHealth) []string {
	var out []string
	for name, n := range m.Counters {
		if n > 0 && isLoss(name) && !strings.Contains(name, ":") {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// isLoss tells by its words whether a counter is of losses. A connection that we closed is one
// only for a reason of ours: an idle one, or one that its sender reset, is nothing unusual.
func isLoss(counter string) bool {
	if strings.HasSuffix(counter, "_closed_framing") || strings.HasSuffix(counter, "_closed_limit") {
		return true
	}
	return slices.ContainsFunc(strings.Split(counter, "_"), func(word string) bool {
		return slices.Contains([]string{"dropped", "lost", "missed", "evicted", "quarantined"}, word)
	})
}

// part is one table of several.
type part struct {
	columns []column
	rows    [][]string
}

// printTables prints those that have rows, an empty line between them.
func (a *app) printTables(parts ...part) error {
	first := true
	for _, p := range parts {
		if len(p.rows) == 0 {
			continue
		}
		if !first {
			a.line("")
		}
		first = false
		if err := a.printTable(p.columns, p.rows); err != nil {
			return err
		}
	}
	return nil
}

func moduleStatus(m event.ModuleHealth) string {
	if !m.Enabled {
		return "off"
	}
	return m.Status.String()
}

func presence(d durableState) string {
	if d.Present {
		return "there"
	}
	return "missing"
}

func percent(s streamState) string {
	if s.MaxBytes <= 0 {
		return "-"
	}
	return strconv.FormatUint(s.Bytes*100/uint64(s.MaxBytes), 10) + "%"
}

// size shows bytes in powers of 1024.
func size(n uint64) string {
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
