package suite

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/internal/config"
	"github.com/ironpost/ironpost/internal/daemon"
	"github.com/ironpost/ironpost/internal/logging"
)

// reload reads the configuration again and returns what changes. Nothing of it is applied
// before Plan.Commit. The keys and certificates of the bus are read first: a revoked key ends even where the configuration, or a file
// of a module, is refused. One goroutine at a time calls it.
func (a *app) reload(ctx context.Context) (daemon.Plan, error) {
	a.reloadKeys(ctx)
	cfg, loaded, err := Load(a.source)
	if err != nil {
		return daemon.Plan{}, eachProblem(err)
	}
	moved := cfg.General.DataDir != a.cfg.General.DataDir
	changes := a.changes(loaded, moved)
	plan := daemon.Plan{Changes: changes, Commit: func() { a.apply(cfg, loaded) }}
	if moved {
		return plan, nil
	}
	for _, m := range a.process.Program.table() {
		rebuild := slices.ContainsFunc(changes, func(c daemon.Change) bool { return !c.Restart && slices.Contains(m.AlsoReads, c.Key) })
		changed := slices.ContainsFunc(changes, func(c daemon.Change) bool { return !c.Restart && sectionOf(c.Key) == m.Section })
		if m.running(a.cfg) && m.Enabled(cfg) && (m.RereadsFiles || rebuild || changed) {
			plan.Modules = append(plan.Modules, daemon.ModulePlan{Name: m.Name, Config: m.Config(cfg), New: a.build(m, cfg), Rebuild: rebuild})
		}
	}
	return plan, nil
}

// apply applies what belongs to no module.
func (a *app) apply(cfg Config, loaded *config.Loaded) {
	a.current = loaded
	if err := logging.Apply(a.log, a.logOptions(cfg)); err != nil {
		a.log.WithError(err).Error("log not changed")
	}
	a.supervisor.SetHealthInterval(cfg.Health.Interval())
	for _, w := range loaded.Warnings {
		a.log.WithField("warning", w).Warn("configuration warning")
	}
}

// reloadKeys reads the keys and certificates of the bus again. That it failed is a reason in health until it succeeds.
func (a *app) reloadKeys(ctx context.Context) {
	if a.bus.admin == nil || a.bus.server != nil && a.cfg.Bus.Listen == "" {
		return
	}
	err := a.tryReloadKeys(ctx)
	if err == nil {
		a.keysFailure.Store(nil)
		return
	}
	a.log.WithError(err).Error("keys and certificates of the bus not reloaded")
	a.keysFailure.Store(&err)
}

// tryReloadKeys has the server read its keys and certificates again, and makes the durables of
// modules that have a key now.
func (a *app) tryReloadKeys(ctx context.Context) error {
	var failed error // a certificate that cannot be read keeps no durable from being made
	if a.bus.server != nil {
		failed = a.bus.server.Reload()
	}
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	if err := a.bus.provisionDurables(ctx); err != nil {
		return errors.Join(failed, err)
	}
	a.monitor.setDurables(a.bus.durables)
	a.maintenance.setDurables(a.bus.durables)
	a.stored.setDurables(a.bus.durables)
	return failed
}

// changes compares loaded with the configuration read last. moved is true if data_dir is
// not the one in use: it moves paths of every section, so all changes wait for a restart.
func (a *app) changes(loaded *config.Loaded, moved bool) []daemon.Change {
	var out []daemon.Change
	for _, c := range config.Diff(a.current, loaded) {
		restart := needsRestart(c.Key, moved) || turnsSink(c)
		out = append(out, daemon.Change{Key: c.Key, Old: c.Old, New: c.New, Restart: restart})
	}
	return out
}

// needsRestart reports whether a change of key is used only after a restart.
func needsRestart(key string, moved bool) bool {
	switch key {
	case "general.log_level", "general.log_format", "health.interval_secs":
		return false
	case "log_pipeline.storage.retention_days":
		return true // it is a property of the streams
	case "log_pipeline.storage.log_lines", "log_pipeline.storage.queue_max_bytes":
		return true // the queue on disk is opened at the start
	}
	return moved || strings.HasSuffix(key, ".enabled") || sectionOf(key) == ""
}

// turnsSink reports whether c turns a sink on or off, whose durables are made at the start.
func turnsSink(c config.Change) bool {
	return c.Key == "log_pipeline.storage.postgres_url" && (c.Old == `""` || c.New == `""`)
}

// sectionOf returns the module's section that key is in, or "".
func sectionOf(key string) string {
	section, _, _ := strings.Cut(key, ".")
	for _, m := range sections() {
		if m.Section == section {
			return section
		}
	}
	return ""
}

// problem is one mistake in a refused configuration.
type problem string

// Error returns the line.
func (p problem) Error() string { return string(p) }

// eachProblem splits a configuration error, so that each problem gets a log entry.
func eachProblem(err error) error {
	var refused *config.Error
	if !errors.As(err, &refused) {
		return err
	}
	errs := make([]error, len(refused.Problems))
	for i, p := range refused.Problems {
		errs[i] = problem(p.String())
	}
	return errors.Join(errs...)
}
