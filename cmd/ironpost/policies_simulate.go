package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/storage"
	"github.com/ironpost/ironpost/services/containerguard"
)

type simulateFlags struct {
	since   string
	path    string
	host    string
	running int
	limit   int
}

func (a *app) policiesSimulateCommand() *cobra.Command {
	var f simulateFlags
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "show what the policies would have done about stored alerts",
		Long: `Decides about the stored alerts as the guard would have, in the order and at the
time in which they came, with its trust, corroboration, cooldowns and caps:
which containers would have been stopped and which addresses blocked, by which
policy and for how long, and what would not have been done and why. Nothing is
done, and container.auto_isolate is taken for true.

The policies are those of container.policy_path, or of --path. The alerts come
from where "ironpost alerts" reads them. What is not known of the past is
assumed, and the output says so. Alerts of several hosts are decided about as by
a guard on each. With --json the result is one object, which
deploy/policies/README.md describes.`,
		Example: `  ironpost policies simulate --since 7d
  ironpost policies simulate --path ./policies --running 40
  ironpost policies simulate --json | jq '.steps[] | select(.outcome == "act")'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.policiesSimulate(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.since, "since", "7d", "how far back: 90m, 24h, 7d, a time, a day\nor all")
	flags.StringVar(&f.path, "path", "", "policy `file` or folder to simulate\n(default: container.policy_path)")
	flags.StringVar(&f.host, "host", "", "only the alerts of this host")
	flags.IntVar(&f.running, "running", 0, "running containers on each host, as\ncontainer.max_share_percent counts\n(default: that cap is not counted)")
	flags.IntVar(&f.limit, "limit", 100, "show only the first of each table; 0 shows\nall")
	return cmd
}

// simulationResult is the --json of policies simulate.
type simulationResult struct {
	Since       time.Time `json:"since,omitzero"`
	Until       time.Time `json:"until"`
	Source      string    `json:"source"` // postgresql or streams
	PolicyPath  string    `json:"policy_path"`
	Policies    int       `json:"policies"`
	AutoIsolate bool      `json:"auto_isolate"`
	Undecoded   int       `json:"undecoded"`
	containerguard.SimulationResult
	Assumptions []string `json:"assumptions"`
}

func (a *app) policiesSimulate(ctx context.Context, f simulateFlags) error {
	until := time.Now()
	since, err := parseSince(f.since, until)
	if err != nil {
		return err
	}
	if f.running < 0 || f.limit < 0 {
		return usageError(errors.New("--running and --limit must not be negative"))
	}
	cfg, _, err := a.loadConfig()
	if err != nil {
		return configError(err)
	}
	path := cmp.Or(f.path, cfg.Container.PolicyPath)
	set, err := a.loadPolicies(path)
	if err != nil {
		return err
	}
	r := &alertReader{app: a, since: since, host: f.host, options: containerguard.SimulationOptions{
		Config: cfg.Container, Policies: set, Running: f.running,
	}}
	err = a.readRecords(ctx, "alerts", func(url string) (bool, error) {
		err := r.readDatabase(ctx, url)
		return r.began, err
	}, r.readStream)
	if err != nil {
		return err
	}
	if err := r.simulation.Finish(ctx, until); err != nil {
		return err
	}
	result := simulationResult{
		Since: since, Until: until, Source: r.source, PolicyPath: path, Policies: len(set.Enabled()), AutoIsolate: cfg.Container.AutoIsolate,
		Undecoded: r.undecoded, SimulationResult: r.simulation.Result(),
	}
	result.Assumptions = assumptions(result, f)
	if a.json {
		return a.printJSON(result)
	}
	a.printSimulation(result, f.limit)
	return a.out.err
}

// alertReader gives the stored alerts to a simulation.
type alertReader struct {
	*app
	since      time.Time
	host       string
	options    containerguard.SimulationOptions
	simulation *containerguard.Simulation
	source     string
	undecoded  int
	began      bool // the simulation has an alert
}

func (r *alertReader) readDatabase(ctx context.Context, url string) error {
	r.source, r.simulation = "postgresql", containerguard.NewSimulation(r.options)
	store, err := storage.Open(storage.Config{URL: url})
	if err != nil {
		return err
	}
	defer store.Close()
	query := storage.Query{Since: r.since, Host: r.host}
	return store.Read(ctx, storage.Alerts, query, recordPatience, func(at time.Time, record []byte) error {
		var alert event.Alert
		if event.Decode(record, &alert) != nil {
			r.undecoded++
			return nil
		}
		r.began = true
		return r.simulation.Add(ctx, &alert, at)
	})
}

func (r *alertReader) readStream(ctx context.Context, conn *bus.Conn) error {
	r.undecoded = 0
	r.source, r.simulation = "streams", containerguard.NewSimulation(r.options)
	var failed error
	o := bus.HistoryOptions{Since: r.since, Filter: bus.AlertSubject("*", cmp.Or(r.host, "*"))}
	err := conn.History(ctx, bus.Alerts, o, func(d bus.Delivery) bool {
		alert, err := containerguard.DecodeAlert(d)
		if err != nil {
			r.undecoded++
			return true
		}
		failed = r.simulation.Add(ctx, alert, d.StoredAt)
		return failed == nil
	})
	return errors.Join(failed, err)
}

// assumptions says what is not known of the past, and what was taken for it.
func assumptions(r simulationResult, f simulateFlags) []string {
	out := []string{
		"Nobody isolated, released, blocked or unblocked anything by hand, and Docker was never away. What came before the time simulated is not known.",
		"A container is the one that the alert names; it exists, runs, and no label, network or service protects it. Containers that the guard finds by address, process, image or label are not found. container.max_per_project is not counted.",
		"Addresses of this machine and container.* of this configuration hold on every host. IPv6 networks are not blocked (widen).",
	}
	if f.running == 0 {
		out = append(out, "container.max_share_percent is not counted: say with --running how many containers run.")
	}
	if r.Outcomes[containerguard.SimulatedIfConnected] > 0 {
		out = append(out, "Blocks \"if connected\" are made only if the kernel saw the address connect to the service or the container. They hold their cooldowns and count under the caps as if it did.")
	}
	if r.OfPlugins > 0 {
		out = append(out, fmt.Sprintf("%d alerts are of plug-ins, which are taken for unproven.", r.OfPlugins))
	}
	if !r.AutoIsolate {
		out = append(out, "container.auto_isolate is false: the guard only reports this until it is true.")
	}
	return out
}
