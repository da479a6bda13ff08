//go:build accept

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/sbomscanner"
	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
)

// sbomWorld is a scanned folder and a database that only grow, so that in the end every advisory about a package of the folder must
// have been reported once, whenever it was seen.
type sbomWorld struct {
	t          *testing.T
	app, db    string
	packages   []string          // names; each has version 1.0.0
	advisories map[string]string // package by advisory
	aliased    map[string]bool   // advisories that have got an alias
}

func newSBOMWorld(t *testing.T) *sbomWorld {
	t.Helper()
	dir := t.TempDir()
	w := &sbomWorld{t: t, app: filepath.Join(dir, "app"), db: filepath.Join(dir, "db"), advisories: map[string]string{}, aliased: map[string]bool{}}
	require.NoError(t, os.Mkdir(w.app, 0o700))
	w.install("first")
	w.advise()
	w.importAll()
	return w
}

// install adds a package to the lock file.
func (w *sbomWorld) install(name string) {
	w.t.Helper()
	w.packages = append(w.packages, name)
	all := map[string]any{"": map[string]any{"name": "app", "version": "1.0.0"}}
	for _, name := range w.packages {
		all["node_modules/"+name] = map[string]any{"version": "1.0.0"}
	}
	data, err := json.Marshal(map[string]any{"name": "app", "version": "1.0.0", "lockfileVersion": 3, "packages": all})
	require.NoError(w.t, err)
	path := filepath.Join(w.app, "package-lock.json")
	require.NoError(w.t, os.WriteFile(path+".new", data, 0o600))
	require.NoError(w.t, os.Rename(path+".new", path))
}

// advise adds an advisory about a random package.
func (w *sbomWorld) advise() {
	w.advisories[fmt.Sprintf("GHSA-%04d", len(w.advisories))] = w.packages[rand.IntN(len(w.packages))]
}

// importAll makes the advisories the database. Some have an alias that they did not have before.
func (w *sbomWorld) importAll() {
	w.t.Helper()
	source := filepath.Join(w.t.TempDir(), "npm")
	require.NoError(w.t, os.Mkdir(source, 0o700))
	for id, name := range w.advisories {
		w.aliased[id] = w.aliased[id] || rand.IntN(4) == 0
		var aliases []string
		if w.aliased[id] {
			aliases = []string{"CVE-2026-1" + id[5:]}
		}
		data, err := json.Marshal(map[string]any{
			"schema_version": "1.6.0", "id": id, "modified": "2026-01-02T03:04:05Z", "aliases": aliases,
			"affected": []any{map[string]any{
				"package": map[string]string{"ecosystem": "npm", "name": name},
				"ranges":  []any{map[string]any{"type": "SEMVER", "events": []any{map[string]string{"introduced": "0"}}}},
			}},
			"database_specific": map[string]string{"severity": "CRITICAL"},
		})
		require.NoError(w.t, err)
		require.NoError(w.t, os.WriteFile(filepath.Join(source, id+".json"), data, 0o600))
	}
	_, err := advisory.Import(w.t.Context(), w.db, source, advisory.Options{Force: true})
	require.NoError(w.t, err)
	require.NoError(w.t, os.RemoveAll(source))
}

// grow changes the folder, the database or both.
func (w *sbomWorld) grow(n int) {
	w.t.Helper()
	kind := rand.IntN(3)
	if kind != 0 {
		w.install(fmt.Sprintf("package-%d", n))
	}
	if kind != 1 {
		w.advise()
		w.importAll()
	}
}

// advisoryOf returns the id of the advisory behind a finding.
func advisoryOf(id string) string { return strings.Replace(id, "CVE-2026-1", "GHSA-", 1) }

// requireEachOnce checks the alerts: every advisory once in the digests, and once alone, as each is critical.
func (w *sbomWorld) requireEachOnce(alerts []event.Alert) {
	w.t.Helper()
	digests, alone, ids := map[string]int{}, map[string]int{}, map[string]bool{}
	for _, a := range alerts {
		require.False(w.t, ids[a.ID], "an id twice")
		ids[a.ID] = true
		switch a.Rule.ID {
		case "sbom_new_findings":
			for _, f := range a.Findings {
				digests[advisoryOf(f.ID)]++
			}
		case "sbom_vulnerability":
			alone[advisoryOf(a.Vulnerability.ID)]++
		default:
			require.Fail(w.t, a.Rule.ID)
		}
	}
	twice, missing := 0, 0
	for id := range w.advisories {
		for _, counts := range []map[string]int{digests, alone} {
			switch n := counts[id]; {
			case n == 0:
				missing++
			case n > 1:
				twice++
			}
		}
	}
	w.t.Logf("%d vulnerabilities in %d packages, %d alerts: reported twice %d (bar 0), missing %d (bar 0)", len(w.advisories), len(w.packages), len(alerts), twice, missing)
	require.Zero(w.t, twice)
	require.Zero(w.t, missing)
	require.Len(w.t, digests, len(w.advisories))
}

func (w *sbomWorld) config() sbomscanner.Config {
	c := sbomscanner.DefaultConfig()
	c.ScanDirs, c.VulnDBURL, c.VulnDBPath = []string{w.app}, "", w.db
	return c
}

// runScanner starts a scanner in this process and returns it with a function that stops it.
func runScanner(t *testing.T, cfg sbomscanner.Config, deps sbomscanner.Deps) (*sbomscanner.Service, func()) {
	t.Helper()
	s, err := sbomscanner.New(cfg, deps)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	<-s.Started()
	return s, func() {
		stop()
		require.NoError(t, <-done)
	}
}

func quietLog() *logrus.Logger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}

// storedAlerts returns the alerts in the stream.
func storedAlerts(t *testing.T, conn *bus.Conn) []event.Alert {
	t.Helper()
	var all []event.Alert
	require.NoError(t, conn.History(t.Context(), bus.Alerts, bus.HistoryOptions{}, func(d bus.Delivery) bool {
		var a event.Alert
		require.NoError(t, event.Decode(d.Data, &a))
		all = append(all, a)
		return true
	}))
	return all
}

// Every start scans everything again.
func TestAcceptSBOMRescans(t *testing.T) {
	const rescans = 1000
	w := newSBOMWorld(t)
	b := bustest.New(t)
	deps := sbomscanner.Deps{Bus: b.Conn(bus.SBOMScanner), Host: b.Host(), DataDir: filepath.Join(t.TempDir(), "data"), MachineID: "m", Log: quietLog()}
	began := time.Now()
	for n := range rescans {
		if n%10 == 0 {
			w.grow(n)
		}
		s, stop := runScanner(t, w.config(), deps)
		if n == rescans-1 {
			w.awaitIdle(s.Health)
		}
		stop()
	}
	t.Logf("%d rescans in %v", rescans, time.Since(began).Round(time.Second))
	w.requireEachOnce(storedAlerts(t, b.Admin()))
}

// awaitIdle waits until every vulnerability is open: found, and its alert stored.
func (w *sbomWorld) awaitIdle(health func() event.ModuleHealth) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		c := health().Counters
		return c["findings_open"] == uint64(len(w.advisories)) && c["alerts_waiting"] == 0
	}, waitLimit, 50*time.Millisecond, "%d advisories: %+v", len(w.advisories), health())
}

func (w *sbomWorld) instance() *instance {
	w.t.Helper()
	s := newInstance(w.t)
	s.replace("[log_pipeline]", fmt.Sprintf("[sbom]\nenabled = true\nscan_dirs = [%q]\nvuln_db_url = \"\"\nvuln_db_path = %q\n[log_pipeline]\nenabled = false", w.app, w.db))
	return s
}

// The daemon is killed at any moment of its start, scans, matches and publishes.
func TestAcceptSBOMKills(t *testing.T) {
	const kills = 100
	w := newSBOMWorld(t)
	s := w.instance()
	for n := range kills {
		daemon := exec.Command(filepath.Join(s.bin, "ironpost-daemon"), "-c", s.path("ironpost.toml"))
		daemon.Stderr = s.log
		require.NoError(t, daemon.Start())
		time.Sleep(time.Duration(rand.IntN(1200)) * time.Millisecond) // any moment: of the start ...
		w.grow(n)
		time.Sleep(time.Duration(rand.IntN(2500)) * time.Millisecond) // ... and of what follows a change
		require.NoError(t, daemon.Process.Kill())
		_ = daemon.Wait()
	}
	s.start()
	w.awaitIdle(func() event.ModuleHealth { return s.module(bus.SBOMScanner) })
	t.Logf("%d kills", kills)
	w.requireEachOnce(s.alerts())
}

// A scanner whose bus is away scans on; its alerts arrive once the bus is back.
func TestAcceptSBOMBusDown(t *testing.T) {
	const outages, scanner = 5, bus.SBOMScanner + ".edge-1"
	w := newSBOMWorld(t)
	s := newInstance(t)
	remote := s.listen(scanner)
	s.start()
	deps := sbomscanner.Deps{Bus: remote.connect(scanner), Host: "edge-1", DataDir: filepath.Join(t.TempDir(), "data"), MachineID: "m", Log: quietLog()}
	scan, stop := runScanner(t, w.config(), deps)
	w.awaitIdle(scan.Health)
	for n := range outages {
		s.kill()
		before := len(w.advisories)
		w.install(fmt.Sprintf("package-%d", n))
		w.advise()
		w.advise()
		w.importAll()
		require.Eventually(t, func() bool { // found, and not published
			c := scan.Health().Counters
			return c["findings_new"] == 2 && c["findings_open"] == uint64(before) && c["alerts_waiting"] >= 3
		}, waitLimit, 50*time.Millisecond)
		if n%2 == 0 { // also over a restart of the scanner
			stop()
			scan, stop = runScanner(t, w.config(), deps)
		}
		s.start()
		back := time.Now()
		w.awaitIdle(scan.Health)
		t.Logf("outage %d: %d vulnerabilities found meanwhile, their alerts stored %v after the bus was ready", n+1, len(w.advisories)-before, time.Since(back).Round(time.Millisecond))
	}
	stop()
	w.requireEachOnce(s.alerts())
}

// From the end of an import to the alert, for a folder of real manifests.
func TestAcceptSBOMDatabaseUpdate(t *testing.T) {
	const updates, bar = 10, 5 * time.Second
	w := newSBOMWorld(t)
	s := w.instance()
	s.replace(fmt.Sprintf("scan_dirs = [%q]", w.app), fmt.Sprintf("scan_dirs = [%q, %q]", w.app, testenv.Data(t, "manifests")))
	s.ironpost("vulndb", "import", "--db", w.db, testenv.Data(t, "osv"))
	s.start()
	s.eventually(func() bool {
		return s.counter(bus.SBOMScanner, "alerts_waiting") == 0 && len(s.alerts()) > 0 && s.counter(bus.SBOMScanner, "scans") >= 2
	})
	h := s.module(bus.SBOMScanner)
	t.Logf("%d packages, %d advisories, %d findings open, %d alerts", h.Counters["packages"], h.Counters["advisories"], h.Counters["findings_open"], h.Counters["alerts"])
	slowest := time.Duration(0)
	for range updates {
		before := len(s.alerts())
		w.advise()
		w.importAll()
		began := time.Now()
		s.eventually(func() bool { return len(s.alerts()) >= before+2 })
		slowest = max(slowest, time.Since(began))
	}
	t.Logf("database update -> alert: slowest of %d %v (bar %v)", updates, slowest.Round(time.Millisecond), bar)
	require.LessOrEqual(t, slowest, bar)
}
