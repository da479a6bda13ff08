package suite

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/config"
	"github.com/ironpost/ironpost/internal/daemon"
	"github.com/ironpost/ironpost/internal/logging"
	"github.com/ironpost/ironpost/internal/metrics"
	"github.com/ironpost/ironpost/internal/sdnotify"
	"github.com/ironpost/ironpost/internal/task"
)

const (
	stopTimeout = 20 * time.Second // below systemd's 90 s and docker compose's patience when set to 30 s
	busName     = "bus"
	keepPause   = 5 * time.Second
)

// house is a daemon that was put together.
type house struct {
	process   Process
	source    Source
	cfg       Config // of the start
	current   *config.Loaded
	log       *logrus.Logger
	began     time.Time
	machineID string
	held      holding

	bus        *busSide
	watch      *streamWatch
	caretaker  *caretaker
	registry   *metrics.Registry
	supervisor *daemon.Supervisor

	background     *task.Group
	stopBackground context.CancelFunc
	services       []func() // stop the status services
}

// serve runs the daemon with a valid configuration until it is asked to stop.
func (p Process) serve(ctx context.Context, source Source, cfg Config, loaded *config.Loaded) error {
	h := &house{process: p, source: source, cfg: cfg, current: loaded, began: time.Now()}
	var err error
	h.log, err = logging.New(p.Stderr, h.logOptions(cfg))
	if err != nil {
		return err
	}
	if h.held, err = hold(cfg.General); err != nil {
		return err
	}
	h.greet(loaded)
	err = h.live(ctx)
	return errors.Join(err, h.held.release())
}

// live starts what the modules need, then hands over to the supervisor, which also
// closes it.
func (h *house) live(ctx context.Context) error {
	if err := h.interruptible(ctx, h.assemble); err != nil {
		return err
	}
	h.summarise()
	return h.supervisor.Run(ctx)
}

// assemble opens the bus and puts the supervisor together. On an error nothing is left open.
func (h *house) assemble(ctx context.Context) (err error) {
	if h.machineID, err = machineID(h.cfg.General.DataDir); err != nil {
		return err
	}
	if h.bus, err = openBus(ctx, h.cfg, h.process.table(), h.log); err != nil {
		return err
	}
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	h.background, h.stopBackground = task.New(background), cancel
	if err = h.furnish(ctx); err != nil {
		return errors.Join(err, h.closeAll(context.WithoutCancel(ctx)))
	}
	return nil
}

// furnish makes all that needs an open bus.
func (h *house) furnish(ctx context.Context) (err error) {
	h.watch = newStreamWatch(h.bus)
	h.caretaker = newCaretaker(h.bus, h.log.WithField("module", busName))
	h.registry = metrics.NewRegistry(Build())
	if h.supervisor, err = daemon.New(h.options()); err != nil {
		return err
	}
	if err := h.registry.Process().Register(h.supervisor.Collector()); err != nil {
		return err
	}
	if err := h.registry.Process().Register(newBusCollector(h.bus, h.watch)); err != nil {
		return err
	}
	if err := h.serveStatus(ctx); err != nil {
		return err
	}
	h.keep("streams", h.watch.run)
	h.keep("janitor", h.caretaker.run)
	if h.bus.server != nil {
		h.keep("disk", h.bus.server.Watch)
	}
	return h.serveMetrics(ctx)
}

// closeAll undoes assemble where no supervisor ran.
func (h *house) closeAll(ctx context.Context) error {
	var errs []error
	for _, step := range h.steps() {
		ctx, cancel := context.WithTimeout(ctx, stopTimeout)
		errs = append(errs, step.Close(ctx))
		cancel()
	}
	return errors.Join(errs...)
}

func (h *house) options() daemon.Options {
	opts := daemon.Options{
		Host: h.cfg.General.Host, Version: Version(), Began: h.began,
		StopOrder: stopOrder(), After: h.steps(), StopTimeout: stopTimeout,
		HealthInterval: h.cfg.Health.Interval(), Signals: h.process.Signals,
		Log: h.log, Notify: sdnotify.New(h.process.Getenv),
		Observe: h.observe, Reload: h.reload,
		Publish: func(_ context.Context, health event.DaemonHealth) error {
			return h.bus.admin.PublishHealth(health)
		},
	}
	for _, m := range h.process.table() {
		opts.Specs = append(opts.Specs, daemon.Spec{Name: m.Name, Enabled: m.Enabled(h.cfg), New: h.build(m, h.cfg), Left: h.left(m)})
	}
	return opts
}

// left returns what says what of m is in force while it is disabled, or nil.
func (h *house) left(m module) func() []string {
	if m.Left == nil {
		return nil
	}
	return func() []string { return m.Left(h.cfg) }
}

// steps close what the modules used: first what works in the background, with the
// HTTP server, then the connections, then the bus itself; then another may start.
func (h *house) steps() []daemon.Step {
	return []daemon.Step{
		{Name: "background", Close: func(context.Context) error { h.stopBackground(); return h.background.Wait() }},
		{Name: "connections", Close: func(ctx context.Context) error {
			for _, stop := range h.services {
				stop()
			}
			return h.bus.closeConns(ctx)
		}},
		{Name: busName, Close: h.bus.shutdown},
		{Name: "pid file", Close: func(context.Context) error { return h.held.release() }},
	}
}

// observe says what is wrong with a module that it cannot see itself.
func (h *house) observe(context.Context) map[string][]string {
	out := h.watch.reasons()
	for name, reasons := range h.caretaker.reasons() {
		out[name] = append(out[name], reasons...)
	}
	for name, conn := range h.bus.conns {
		out[name] = append(out[name], conn.Reasons()...)
	}
	out[busName] = append(out[busName], h.bus.admin.Reasons()...)
	if h.bus.server != nil {
		out[busName] = append(out[busName], h.bus.server.Health()...)
	}
	return out
}

// serveStatus has each module that runs, and the daemon, answer for itself.
func (h *house) serveStatus(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	for name, conn := range h.bus.conns {
		if err := h.serve(ctx, conn, name, func(ctx context.Context, _ []byte) (any, error) {
			return moduleOf(h.supervisor.Health(ctx), name), nil
		}); err != nil {
			return err
		}
	}
	return h.serve(ctx, h.bus.admin, bus.Daemon, func(ctx context.Context, _ []byte) (any, error) {
		return h.supervisor.Health(ctx), nil
	})
}

func (h *house) serve(ctx context.Context, conn *bus.Conn, name string, status bus.Verb) error {
	stop, err := conn.Serve(ctx, bus.ServiceConfig{
		Module: name, Host: h.cfg.General.Host, Version: Version(), Verbs: map[string]bus.Verb{"status": status},
	})
	if err == nil {
		h.services = append(h.services, stop)
	}
	return err
}

func moduleOf(health event.DaemonHealth, name string) event.ModuleHealth {
	for _, m := range health.Modules {
		if m.Name == name {
			return m
		}
	}
	return event.ModuleHealth{Name: name, Host: health.Host}
}

// serveMetrics opens the HTTP server. That every port is taken is a warning; an
// address that is none of this machine ends the start.
func (h *house) serveMetrics(ctx context.Context) error {
	if !h.cfg.Metrics.Enabled {
		return nil
	}
	server, err := metrics.Listen(ctx, metrics.Options{
		Listen: h.cfg.Metrics.Listen, Gatherer: h.registry, Log: h.log,
		Health: h.supervisor.Health, Ready: h.supervisor.Ready,
	})
	if errors.Is(err, syscall.EADDRINUSE) {
		h.log.WithError(err).Warn("metrics are off: no free port")
		return nil
	}
	if err != nil {
		return err
	}
	h.log.WithField("address", server.Addr()).Info("metrics and probes served")
	h.background.Go("metrics", func(ctx context.Context) error {
		if err := server.Serve(ctx); err != nil {
			h.log.WithError(err).Error("metrics are off")
		}
		return nil
	})
	return nil
}

// keep runs fn in the background, again after an error or a panic, until the house
// is closed. fn returns nil only when its context ends.
func (h *house) keep(name string, fn func(ctx context.Context) error) {
	h.background.Go(name, func(ctx context.Context) error {
		for ctx.Err() == nil {
			if err := task.Call(ctx, name, fn); err != nil {
				h.log.WithError(err).WithField("task", name).Error("background task failed, trying again")
			}
			select {
			case <-ctx.Done():
			case <-time.After(keepPause):
			}
		}
		return nil
	})
}

// colour tells whether Stderr is a terminal whose owner has not asked for no colour (no-color.org).
func (p Process) colour() bool {
	f, ok := p.Stderr.(*os.File)
	if !ok || p.Getenv("NO_COLOR") != "" || p.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (h *house) logOptions(cfg Config) logging.Options {
	return logging.Options{Level: cfg.General.LogLevel, Format: cfg.General.LogFormat, Colour: h.process.colour()}
}
