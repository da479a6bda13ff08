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

// reload reads the configuration again and says what changes. It is called by one
// goroutine at a time.
func (h *house) reload(context.Context) (daemon.Plan, error) {
	cfg, loaded, err := Load(h.source)
	if err != nil {
		return daemon.Plan{}, eachProblem(err)
	}
	changes := h.changes(loaded)
	plan := daemon.Plan{Changes: changes, Commit: func() { h.adopt(cfg, loaded) }}
	for _, m := range h.process.table() {
		anew := borrowed(changes, m.Borrows)
		if m.running(h.cfg) && m.Enabled(cfg) && (m.Rereads || anew || touched(changes, m.Section)) {
			plan.Modules = append(plan.Modules, daemon.ModulePlan{Name: m.Name, Config: m.Config(cfg), New: h.build(m, cfg), Anew: anew})
		}
	}
	return plan, nil
}

// adopt puts in force what belongs to no module.
func (h *house) adopt(cfg Config, loaded *config.Loaded) {
	h.current = loaded
	if err := logging.Apply(h.log, h.logOptions(cfg)); err != nil {
		h.log.WithError(err).Error("log not changed")
	}
	h.supervisor.SetHealthInterval(cfg.Health.Interval())
	for _, w := range loaded.Warnings {
		h.log.WithField("warning", w).Warn("configuration warning")
	}
	if h.bus.server == nil || h.cfg.Bus.Listen == "" {
		return
	}
	if err := h.bus.server.Reload(); err != nil {
		h.log.WithError(err).Error("keys and certificates of the bus not reloaded")
	}
}

// changes compares with the configuration in force.
func (h *house) changes(loaded *config.Loaded) []daemon.Change {
	var out []daemon.Change
	diff := config.Diff(h.current, loaded)
	for _, c := range diff {
		out = append(out, daemon.Change{Key: c.Key, Old: c.Old, New: c.New, Restart: needsRestart(c.Key, diff)})
	}
	return out
}

// needsRestart tells whether a change of key is used only after a restart. Paths
// that follow from data_dir move with it, so then no module may take its change.
func needsRestart(key string, all []config.Change) bool {
	switch key {
	case "general.log_level", "general.log_format", "health.interval_secs":
		return false
	case "log_pipeline.storage.retention_days":
		return true // the streams have it
	}
	if strings.HasSuffix(key, ".enabled") || sectionOf(key) == "" {
		return true
	}
	for _, c := range all {
		if c.Key == "general.data_dir" {
			return true
		}
	}
	return false
}

// sectionOf returns the module's section that key is in, or "".
func sectionOf(key string) string {
	section, _, _ := strings.Cut(key, ".")
	for _, m := range table() {
		if m.Section == section {
			return section
		}
	}
	return ""
}

func touched(changes []daemon.Change, section string) bool {
	for _, c := range changes {
		if !c.Restart && sectionOf(c.Key) == section {
			return true
		}
	}
	return false
}

// borrowed tells whether one of keys changed.
func borrowed(changes []daemon.Change, keys []string) bool {
	return slices.ContainsFunc(changes, func(c daemon.Change) bool { return !c.Restart && slices.Contains(keys, c.Key) })
}

// problem is one line of a refused configuration.
type problem string

// Error returns the line.
func (p problem) Error() string { return string(p) }

// eachProblem splits a configuration error, for a line of the log each.
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
