package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/config"
	"github.com/ironpost/ironpost/internal/credential"
	"github.com/ironpost/ironpost/internal/daemon"
	"github.com/ironpost/ironpost/internal/edge"
	"github.com/ironpost/ironpost/internal/logging"
	"github.com/ironpost/ironpost/internal/memlimit"
	"github.com/ironpost/ironpost/internal/metrics"
	"github.com/ironpost/ironpost/internal/sdnotify"
)

const (
	stopTimeout = 20 * time.Second // below systemd's 90 s, and below docker compose's stop_grace_period of 30 s
	busName     = "bus"            // the bus in logs and health
	logName     = "log"            // the log itself in health

	configurationName = "configuration" // in health
)

// app is the composed daemon process.
type app struct {
	process   Process
	source    Source
	cfg       Config         // of the start
	current   *config.Loaded // in force; a reload replaces it
	log       *logrus.Logger
	began     time.Time
	machineID string
	lock      instanceLock

	bus         *connections
	monitor     *streamMonitor
	enforcement *enforcement
	maintenance *streamMaintenance
	stored      *stored // nil: the bus is external
	edges       *edge.Monitor
	background  *background
	registry    *metrics.Registry
	metricsOff  atomic.Pointer[string] // why they are not served
	probes      atomic.Pointer[metrics.Server]
	keysFailure atomic.Pointer[error] // why keys and certificates were not read again
	supervisor  *daemon.Supervisor
}

// serve runs the daemon with a valid configuration until it is asked to stop.
func (p Process) serve(ctx context.Context, source Source, cfg Config, loaded *config.Loaded) error {
	a := &app{process: p, source: source, cfg: cfg, current: loaded, began: time.Now()}
	var err error
	a.log, err = logging.New(p.output, a.logOptions(cfg))
	if err != nil {
		return err
	}
	p.output.ReportTo(a.log)
	a.logStartup(loaded)
	if limit := memlimit.Apply(os.DirFS("/"), p.Getenv); limit > 0 {
		a.log.WithField("bytes", limit).Info("memory is limited by the control group")
	}
	err = a.run(ctx)
	return errors.Join(err, a.lock.release())
}

// run starts what the modules need, then hands over to the supervisor, which also
// closes it.
func (a *app) run(ctx context.Context) error {
	if err := a.interruptible(ctx, func(ctx context.Context) error { return a.untilRoom(ctx, a.start) }); err != nil {
		return err
	}
	a.logModules()
	return a.supervisor.Run(ctx)
}

// start locks the folder, unless an attempt before did, opens the bus, makes the supervisor and starts the services around it. On an
// error nothing but the lock is left.
func (a *app) start(ctx context.Context) (err error) {
	if a.lock.data == nil {
		if a.lock, err = lockInstance(a.process.Program, a.cfg.General); err != nil {
			return err
		}
	}
	if err := a.openData(); err != nil {
		return err
	}
	if a.bus, err = openBus(ctx, a.cfg, a.process.Program, a.stored.known(), a.log); err != nil {
		return err
	}
	if a.stored != nil {
		if err = a.stored.compare(ctx, a.bus); err != nil {
			return errors.Join(err, a.bus.closeConns(context.WithoutCancel(ctx)), a.bus.shutdown(context.WithoutCancel(ctx)))
		}
	}
	if a.bus.admin != nil {
		a.monitor = newStreamMonitor(a.bus)
		a.edges = edge.NewMonitor(a.bus.admin, a.bus.edges)
		a.enforcement = &enforcement{conn: a.bus.admin, host: a.cfg.General.Host, edges: a.edges.Enforcing}
		a.maintenance = newStreamMaintenance(a.bus, a.log.WithField("module", busName))
	}
	a.background = newBackground(ctx, a.log)
	if err = a.startServices(ctx); err != nil {
		return errors.Join(err, a.closeAll(context.WithoutCancel(ctx)))
	}
	return nil
}

// openData reads what is known of the data folder, and its id.
func (a *app) openData() (err error) {
	known := ""
	if !a.process.Program.single() && a.cfg.Bus.Mode == BusEmbedded {
		runs := func(name string) bool {
			return slices.ContainsFunc(a.process.Program.table(), func(m module) bool { return m.Name == name && m.running(a.cfg) })
		}
		if a.stored, err = loadStored(a.cfg, runs, a.log.WithField("module", busName)); err != nil {
			return err
		}
		known = a.stored.before.Machine
	}
	dir, _ := a.process.Program.instance(a.cfg.General)
	var reason string
	if a.machineID, reason, err = machineID(dir, a.cfg.General.DataDir, known); err != nil {
		return err
	}
	if a.stored != nil {
		a.stored.now.Machine = a.machineID
	}
	switch {
	case reason == "":
	case a.stored != nil:
		a.stored.lose(busName, reason)
	default:
		a.log.WithField("reason", reason).Error("the id of the data folder was lost")
	}
	return nil
}

// startServices makes the supervisor, and starts all that needs an open bus.
func (a *app) startServices(ctx context.Context) (err error) {
	a.registry = metrics.NewRegistry(Build())
	if a.supervisor, err = daemon.New(a.daemonOptions()); err != nil {
		return err
	}
	if err := a.supervisor.Export(a.registry.Process()); err != nil {
		return err
	}
	if err := exportLog(a.registry.Process(), a.process.output); err != nil {
		return err
	}
	if err := a.serveStatus(ctx); err != nil {
		return err
	}
	if a.bus.admin != nil {
		if err := a.maintainStreams(); err != nil {
			return err
		}
	}
	if a.bus.server != nil {
		a.background.repeat("disk", a.bus.server.Watch)
		a.background.repeat("edges", a.edges.Run)
	}
	return a.serveMetrics(ctx)
}

// maintainStreams watches the streams and maintains them.
func (a *app) maintainStreams() error {
	if err := exportBus(a.registry.Process(), a.bus, a.monitor, a.edges); err != nil {
		return err
	}
	a.background.repeat("stream monitor", a.monitor.run)
	a.background.repeat("enforcement of blocks", a.enforcement.run)
	a.background.repeat("stream maintenance", a.maintenance.run)
	if a.stored != nil {
		a.background.repeat("manifest", a.stored.run)
		a.background.once("verify stored messages", a.stored.verify)
	}
	return nil
}

// closeAll undoes start where no supervisor ran.
func (a *app) closeAll(ctx context.Context) error {
	var errs []error
	for _, step := range a.closeSteps() {
		ctx, cancel := context.WithTimeout(ctx, stopTimeout)
		errs = append(errs, step.Close(ctx))
		cancel()
	}
	return errors.Join(errs...)
}

// closeSteps close what the modules used: first the background tasks, with the HTTP
// server, then the connections, then the bus itself, then the lock, so that the next
// instance finds all of it free.
func (a *app) closeSteps() []daemon.Step {
	return []daemon.Step{
		{Name: "background", Close: func(context.Context) error { return a.background.stop() }},
		{Name: "manifest", Close: a.stored.readLast},
		{Name: "connections", Close: a.bus.closeConns},
		{Name: busName, Close: a.bus.shutdown},
		{Name: "manifest of the stopped bus", Close: func(context.Context) error { return a.stored.close() }},
		{Name: "pid file", Close: func(context.Context) error { return a.lock.release() }},
	}
}

func (a *app) daemonOptions() daemon.Options {
	opts := daemon.Options{
		Host: a.cfg.General.Host, Version: Version(), Began: a.began,
		After: a.closeSteps(), StopTimeout: stopTimeout,
		HealthInterval: a.cfg.Health.Interval(), Signals: a.process.Signals,
		Log: a.log, Notify: sdnotify.New(a.process.Getenv),
		Observe: a.observe, Reload: a.reload,
	}
	if a.cfg.Bus.Mode == BusExternal {
		opts.Durability = externalDurability
	}
	if a.bus.admin != nil {
		opts.Publish = func(_ context.Context, health event.DaemonHealth) error { return a.bus.admin.PublishHealth(health) }
	}
	for _, m := range a.process.Program.table() {
		spec := daemon.Spec{Name: m.Name, Enabled: m.Enabled(a.cfg), New: a.build(m, a.cfg)}
		if m.StillActive != nil {
			spec.StillActive = func() []string { return m.StillActive(a.cfg) }
		}
		opts.Specs = append(opts.Specs, spec)
	}
	if a.cfg.Bus.Hub != "" { // last, to stop when the others have
		opts.Specs = append(opts.Specs, daemon.Spec{Name: bus.Forwarder, Enabled: true, New: a.buildForwarder})
	}
	return opts
}

// observe returns, by module, why it is degraded where it cannot know that itself: the
// state of its connection and of its durables, and of the bus.
func (a *app) observe(context.Context) map[string][]string {
	out := map[string][]string{}
	if a.bus.admin != nil {
		out = a.monitor.reasons()
		for name, reasons := range a.maintenance.reasons() {
			out[name] = append(out[name], reasons...)
		}
		out[busName] = append(out[busName], a.bus.admin.Reasons()...)
		if reason := a.enforcement.reason.Load(); reason != nil {
			out[busName] = append(out[busName], *reason)
		}
		a.observeKeys(out)
	}
	for name, reasons := range a.stored.reasons() {
		out[name] = append(out[name], reasons...)
	}
	for name, conn := range a.bus.modules {
		out[name] = append(out[name], conn.Reasons()...)
	}
	if a.bus.server != nil {
		out[busName] = append(out[busName], a.bus.server.Health()...)
		out[busName] = append(out[busName], a.bus.server.ObserverReasons()...)
		if len(a.bus.edges()) > 0 {
			out[edgesName] = a.edges.Reasons()
		}
	}
	a.observeCertificates(out)
	a.observeReload(out)
	if reason := a.metricsOff.Load(); reason != nil {
		out[metricsName] = []string{*reason}
	}
	if server := a.probes.Load(); server != nil && server.Reason() != "" {
		out[metricsName] = append(out[metricsName], server.Reason())
	}
	if reason := a.process.output.Reason(); reason != "" {
		out[logName] = []string{reason}
	}
	return out
}

// observeReload adds that the last reload was refused, to a row of its own, and to that of the module where the program runs one alone.
func (a *app) observeReload(out map[string][]string) {
	refused := a.supervisor.RefusedReload()
	if refused == "" {
		return
	}
	if a.bus.admin != nil {
		out[configurationName] = append(out[configurationName], refused)
		return
	}
	for name := range a.bus.modules {
		out[name] = append(out[name], refused)
	}
}

// observeKeys adds why the keys in force may not be those of the folder.
func (a *app) observeKeys(out map[string][]string) {
	if failure := a.keysFailure.Load(); failure != nil {
		out[busName] = append(out[busName], fmt.Sprintf("keys and certificates of the bus were not reloaded, a revoked key may still be valid: %v", *failure))
	}
	const most = 3
	refused := *a.bus.refusedKeys.Load()
	for _, err := range refused[:min(len(refused), most)] {
		out[busName] = append(out[busName], fmt.Sprintf("the file of a key is not read and permits nothing: %v", err))
	}
	if len(refused) > most {
		out[busName] = append(out[busName], fmt.Sprintf("files of %d more keys are not read and permit nothing", len(refused)-most))
	}
}

// observeCertificates adds a reason for each certificate of the bus that is about to expire: of its own, which a module without a daemon
// reports itself; of the hub's bundle, of the servers of an external bus, and those that others have shown.
func (a *app) observeCertificates(out map[string][]string) {
	now := time.Now()
	expiring := credential.Expiring(now, a.cfg.Bus.TLSCA, a.cfg.Bus.TLSCert)
	if bundle := a.cfg.Bus.HubBundle; a.cfg.Bus.Hub != "" {
		out[bus.Forwarder] = append(out[bus.Forwarder], credential.Expiring(now, filepath.Join(bundle, bus.BundleCA), filepath.Join(bundle, bus.BundleCert))...)
	}
	if a.bus.admin == nil {
		for name := range a.bus.modules {
			out[name] = append(out[name], expiring...)
		}
		return
	}
	if a.bus.server == nil {
		expiring = append(expiring, credential.ServerExpiring(now, a.bus.admin.ServerCertificate())...)
	} else if clients := a.bus.server.ClientsExpiring(now.Add(credential.WarnBefore)); len(clients) > 0 {
		const most = 10
		shown := strings.Join(clients[:min(len(clients), most)], ", ")
		if len(clients) > most {
			shown += fmt.Sprintf(", and %d more", len(clients)-most)
		}
		expiring = append(expiring, fmt.Sprintf("certificates that others show expire soon: %s: make their bundles anew with --replace", shown))
	}
	out[busName] = append(out[busName], expiring...)
}

// serveStatus answers the verb status for each module that runs, and for the daemon.
func (a *app) serveStatus(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	for name, conn := range a.bus.modules {
		if err := a.serveVerb(ctx, conn, name, func(ctx context.Context, _ []byte) (any, error) {
			health := a.supervisor.Health(ctx)
			for _, m := range health.Modules {
				if m.Name == name {
					return m, nil
				}
			}
			return event.ModuleHealth{Name: name, Host: health.Host}, nil
		}); err != nil {
			return err
		}
	}
	if a.bus.admin == nil {
		return nil
	}
	stop, err := a.bus.admin.Serve(ctx, bus.ServiceConfig{
		Module: bus.Daemon, Host: a.cfg.General.Host, Version: Version(), Acts: BlocklistActs(a.bus.admin, a.cfg.General.Host),
	})
	if err != nil {
		return err
	}
	a.bus.stopServices = append(a.bus.stopServices, stop)
	return a.serveVerb(ctx, a.bus.admin, bus.Daemon, func(ctx context.Context, _ []byte) (any, error) {
		return a.supervisor.Health(ctx), nil
	})
}

func (a *app) serveVerb(ctx context.Context, conn *bus.Conn, name string, status bus.Verb) error {
	stop, err := conn.Serve(ctx, bus.ServiceConfig{
		Module: name, Host: a.cfg.General.Host, Version: Version(), Verbs: map[string]bus.Verb{"status": status},
	})
	if err == nil {
		a.bus.stopServices = append(a.bus.stopServices, stop)
	}
	return err
}

// colour reports whether Stderr is a terminal whose user has not asked for no colour (no-color.org).
func (p Process) colour() bool {
	f, ok := p.Stderr.(*os.File)
	if !ok || p.Getenv("NO_COLOR") != "" || p.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// journal reports whether systemd connected Stderr to its journal: JOURNAL_STREAM names the device and inode (systemd.exec(5)).
func (p Process) journal() bool {
	f, ok := p.Stderr.(*os.File)
	return ok && p.Getenv("JOURNAL_STREAM") != "" && p.Getenv("JOURNAL_STREAM") == streamOf(f)
}

func (a *app) logOptions(cfg Config) logging.Options {
	return logging.Options{Level: cfg.General.LogLevel, Format: cfg.General.LogFormat, Colour: a.process.colour(), Journal: a.process.journal()}
}
