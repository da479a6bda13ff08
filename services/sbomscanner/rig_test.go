package sbomscanner_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/sbomscanner"
	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	patience = 60 * time.Second
	tick     = 10 * time.Millisecond
)

// rig is a bus, a database and one scanned folder, which outlive the service.
type rig struct {
	t     *testing.T
	bus   *bustest.Bus
	admin *bus.Conn
	dir   string // data folder of the service
	app   string // scanned folder
	db    string
	cfg   sbomscanner.Config
	log   *logrus.Logger
	deps  sbomscanner.Deps

	records map[string]string // of the next import, by id
}

func newRig(t *testing.T) *rig {
	t.Helper()
	b := bustest.New(t)
	dir := t.TempDir()
	r := &rig{t: t, bus: b, admin: b.Admin(), dir: filepath.Join(dir, "data"), app: filepath.Join(dir, "app"), db: filepath.Join(dir, "db"), records: map[string]string{}}
	require.NoError(t, os.Mkdir(r.app, 0o700))
	r.cfg = sbomscanner.DefaultConfig()
	r.cfg.ScanDirs, r.cfg.VulnDBURL, r.cfg.VulnDBPath = []string{r.app}, "", r.db
	require.Empty(t, r.cfg.Validate())
	r.log = logrus.New()
	r.log.SetOutput(io.Discard)
	r.deps = sbomscanner.Deps{
		Bus: b.Conn(bus.SBOMScanner), Host: b.Host(), DataDir: r.dir, MachineID: "m", Version: "v1", Log: r.log, Metrics: prometheus.NewPedanticRegistry(),
	}
	return r
}

// lock writes a lock file of npm with packages "name@version".
func (r *rig) lock(packages ...string) {
	r.t.Helper()
	all := map[string]any{"": map[string]any{"name": "app", "version": "1.0.0"}}
	for _, p := range packages {
		var name, version string
		for i := len(p) - 1; i > 0; i-- {
			if p[i] == '@' {
				name, version = p[:i], p[i+1:]
				break
			}
		}
		all["node_modules/"+name] = map[string]any{"version": version}
	}
	data, err := json.Marshal(map[string]any{"name": "app", "version": "1.0.0", "lockfileVersion": 3, "requires": true, "packages": all})
	require.NoError(r.t, err)
	r.write("package-lock.json", string(data))
}

// write replaces a file of the scanned folder.
func (r *rig) write(name, text string) {
	r.t.Helper()
	path := filepath.Join(r.app, name)
	require.NoError(r.t, os.WriteFile(path+".new", []byte(text), 0o600))
	require.NoError(r.t, os.Rename(path+".new", path))
}

// advise adds an advisory about every version of an npm package below fixed.
func (r *rig) advise(id, name, fixed, severity string, aliases ...string) {
	r.t.Helper()
	data, err := json.Marshal(map[string]any{
		"schema_version": "1.6.0", "id": id, "modified": "2026-01-02T03:04:05Z", "published": "2026-01-02T03:04:05Z", "aliases": aliases, "summary": "Summary of " + id,
		"affected": []any{map[string]any{
			"package": map[string]string{"ecosystem": "npm", "name": name},
			"ranges":  []any{map[string]any{"type": "SEMVER", "events": []any{map[string]string{"introduced": "0"}, map[string]string{"fixed": fixed}}}},
		}},
		"database_specific": map[string]string{"severity": severity},
	})
	require.NoError(r.t, err)
	r.records[id] = string(data)
}

// importAdvisories makes the advisories so far the database, as ironpost vulndb import does.
func (r *rig) importAdvisories() {
	r.t.Helper()
	source := filepath.Join(r.t.TempDir(), "npm")
	require.NoError(r.t, os.Mkdir(source, 0o700))
	for id, text := range r.records {
		require.NoError(r.t, os.WriteFile(filepath.Join(source, id+".json"), []byte(text), 0o600))
	}
	_, err := advisory.Import(r.t.Context(), r.db, source, advisory.Options{Force: true})
	require.NoError(r.t, err)
}

// running is a service that runs.
type running struct {
	*sbomscanner.Service

	r    *rig
	stop func()
}

func (r *rig) start() *running {
	r.t.Helper()
	s, err := sbomscanner.New(r.cfg, r.deps)
	require.NoError(r.t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	run := &running{Service: s, r: r, stop: sync.OnceFunc(func() {
		cancel()
		require.NoError(r.t, <-done)
	})}
	r.t.Cleanup(run.stop)
	select {
	case <-s.Started():
	case <-time.After(patience):
		require.Fail(r.t, "not started", "%+v", s.Health())
	}
	return run
}

// await waits for a counter of Health.
func (s *running) await(counter string, want uint64) {
	s.r.t.Helper()
	require.Eventually(s.r.t, func() bool { return s.Health().Counters[counter] == want }, patience, tick, "%s: %+v", counter, s.Health())
}

// alerts returns the stored alerts.
func (r *rig) alerts() []*event.Alert {
	r.t.Helper()
	var out []*event.Alert
	err := r.admin.History(r.t.Context(), bus.Alerts, bus.HistoryOptions{}, func(d bus.Delivery) bool {
		a := &event.Alert{}
		require.NoError(r.t, event.Decode(d.Data, a))
		out = append(out, a)
		return true
	})
	require.NoError(r.t, err)
	return out
}

// awaitAlerts waits for that many alerts and returns their titles.
func (r *rig) awaitAlerts(n int) []*event.Alert {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return len(r.alerts()) >= n }, patience, tick, "%v", titles(r.alerts()))
	return r.alerts()
}

func titles(all []*event.Alert) []string {
	var out []string
	for _, a := range all {
		out = append(out, fmt.Sprintf("%s: %s", a.Rule.ID, a.Title))
	}
	return out
}
