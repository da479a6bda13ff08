package sbomscanner_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
	"github.com/ironpost/ironpost/services/sbomscanner/finding"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// From the first day without a database to findings that are fixed and come back.
func TestFromTheFirstDayOn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.lock("lodash@4.17.20", "left-pad@1.3.0")
	s := r.start()
	h := s.Health()
	require.Equal(t, event.Degraded, h.Status)
	require.Equal(t, []string{advisory.ErrNoAdvisories.Error()}, h.Reasons)
	s.await("packages", 2)
	s.await("not_assessed_packages", 2)
	documents, err := filepath.Glob(filepath.Join(r.dir, "sbom", "*.cdx.json"))
	require.NoError(t, err)
	require.Len(t, documents, 1)

	r.advise("GHSA-1", "lodash", "4.17.21", "HIGH", "CVE-2021-23337")
	r.advise("GHSA-2", "lodash", "4.17.21", "CRITICAL", "CVE-2019-10744")
	r.advise("GHSA-3", "left-pad", "2.0.0", "LOW")
	began := time.Now()
	r.importAdvisories()
	got := r.awaitAlerts(2)
	t.Logf("database imported -> alerts: %v (bar 5 s)", time.Since(began))
	require.Less(t, time.Since(began), 5*time.Second)
	require.Equal(t, []string{
		"sbom_new_findings: 2 new vulnerabilities in " + r.app,
		"sbom_vulnerability: CVE-2019-10744 in lodash 4.17.20 (critical)",
	}, titles(got))
	digest, alone := got[0], got[1]
	require.Equal(t, event.Critical, digest.Severity, "that of the worst")
	require.Equal(t, "sbom-scanner", digest.Module)
	require.Equal(t, event.Finding{
		PURL: "pkg:npm/lodash@4.17.20", Version: "4.17.20", Fixed: "4.17.21", Location: "package-lock.json", ID: "CVE-2019-10744", Aliases: []string{"GHSA-2"}, Severity: event.Critical,
	}, digest.Findings[0])
	require.Contains(t, digest.Description, "1 critical, 1 high")
	require.Contains(t, digest.Description, "The vulnerability database was current 0 h ago")
	require.Contains(t, digest.Description, fmt.Sprintf("ironpost sbom findings %q", r.app))
	require.Equal(t, "CVE-2019-10744", alone.Vulnerability.ID)
	require.Equal(t, []string{"cve.2019-10744"}, alone.Rule.Tags)
	s.await("findings_open", 3)
	require.Equal(t, event.Healthy, s.Health().Status, "%v", s.Health().Reasons)

	r.lock("lodash@4.17.21", "left-pad@1.3.0")
	s.await("findings_fixed", 2)
	r.lock("lodash@4.17.20", "left-pad@1.3.0")
	got = r.awaitAlerts(4)
	require.Equal(t, "2 reopened vulnerabilities in "+r.app, got[2].Title)
	require.True(t, got[2].Findings[0].Reopened)

	s.stop()
	s = r.start()
	s.await("findings_open", 3)
	r.advise("GHSA-2", "lodash", "4.17.21", "CRITICAL", "CVE-2019-10744", "SNYK-1")
	r.importAdvisories()
	require.Eventually(t, func() bool { return s.Health().Counters["scans"] >= 1 && s.Health().Counters["advisories"] == 3 }, patience, tick)
	r.lock("lodash@4.17.20", "left-pad@1.3.0", "right-pad@1.0.0")
	s.await("packages", 3)
	s.await("alerts_waiting", 0)
	require.Len(t, r.alerts(), 4, "neither a restart nor an alias is news")
}

func TestAlertsOfAnOutageArriveAfterIt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.advise("GHSA-1", "lodash", "4.17.21", "HIGH", "CVE-2021-23337")
	r.importAdvisories()
	s := r.start()
	r.bus.DeleteStream(bus.Alerts)
	r.lock("lodash@4.17.20")
	s.await("alerts_waiting", 1)
	s.stop()
	s = r.start()
	s.await("alerts_waiting", 1)
	require.Eventually(t, func() bool { return len(s.Health().Reasons) == 1 }, patience, tick)
	require.Contains(t, s.Health().Reasons[0], "alerts cannot be stored since")
	r.bus.Provision()
	r.awaitAlerts(1)
	s.await("alerts_waiting", 0)
	require.Len(t, r.alerts(), 1)
}

func TestIgnoredFindingIsNotReported(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.lock("lodash@4.17.20")
	r.advise("GHSA-1", "lodash", "4.17.21", "HIGH", "CVE-2021-23337")
	r.advise("GHSA-2", "lodash", "4.17.21", "HIGH", "CVE-2019-10744")
	r.importAdvisories()
	r.cfg.IgnoreFile = filepath.Join(t.TempDir(), "ignore.toml")
	require.NoError(t, os.WriteFile(r.cfg.IgnoreFile, []byte(fmt.Sprintf("[[ignore]]\nid = \"GHSA-1\"\nreason = \"r\"\nexpires = %s\n",
		time.Now().Add(48*time.Hour).Format(time.DateOnly))), 0o600))
	s := r.start()
	got := r.awaitAlerts(1)
	require.Len(t, got[0].Findings, 1)
	require.Equal(t, "CVE-2019-10744", got[0].Findings[0].ID)
	s.await("findings_ignored", 1)
	s.stop()
	r.cfg.IgnoreFile = ""
	s = r.start()
	got = r.awaitAlerts(2)
	require.Equal(t, "CVE-2021-23337", got[1].Findings[0].ID)
	s.await("findings_ignored", 0)
}

func TestStaleDatabaseIsAnAlertOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.advise("GHSA-1", "lodash", "4.17.21", "HIGH")
	r.importAdvisories()
	manifests, err := filepath.Glob(filepath.Join(r.db, "*.json"))
	require.NoError(t, err)
	for _, path := range manifests { // four days older
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		today, before := time.Now().UTC().Format("2006-01-02T"), time.Now().UTC().AddDate(0, 0, -4).Format("2006-01-02T")
		require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(string(data), today, before)), 0o600))
	}
	for range 2 {
		s := r.start()
		got := r.awaitAlerts(1)
		require.Equal(t, "sbom_database_stale", got[0].Rule.ID)
		require.Contains(t, s.Health().Reasons[0], "The vulnerability database was current 4 days ago, allowed are 3 days")
		s.await("alerts_waiting", 0)
		s.stop()
	}
	require.Len(t, r.alerts(), 1)
}

func TestWhatCannotBeScannedIsAReason(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.lock("lodash@4.17.20")
	r.write("composer.lock", "{")
	r.cfg.ScanDirs = append(r.cfg.ScanDirs, filepath.Join(r.app, "missing"))
	r.advise("GHSA-1", "left-pad", "4.17.21", "HIGH")
	r.importAdvisories()
	s := r.start()
	require.Eventually(t, func() bool { return len(s.Health().Reasons) == 2 }, patience, tick, "%v", s.Health())
	h := s.Health()
	require.Equal(t, event.Degraded, h.Status)
	require.Contains(t, h.Reasons[0], "missing is not scanned, its findings are those of the last scan")
	require.Contains(t, h.Reasons[1], "is not read completely: malformed 1, such as composer.lock")
}

// An image is scanned once, so that what was not read of it must be known after a restart, too. Of one that no container runs it is
// no reason.
func TestUnreadImageIsAReasonAfterARestart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.advise("GHSA-1", "left-pad", "4.17.21", "HIGH")
	r.importAdvisories()
	saved, _, err := finding.OpenInventories(filepath.Join(r.dir, "inventories"))
	require.NoError(t, err)
	_, err = saved.Put(&inventory.Inventory{
		Asset: inventory.Asset{Kind: inventory.Image, Name: "shop:1", Digest: "sha256:1"}, Skipped: map[string]int{"malformed": 1},
	})
	require.NoError(t, err)
	require.NoError(t, saved.Close())
	r.cfg.Images, r.deps.DockerSocket = true, "/nosuch.sock"
	s := r.start()
	require.Eventually(t, func() bool { return slices.Contains(s.Health().Reasons, "shop:1 is not read completely: malformed 1") }, patience, tick, "%v", s.Health())
	s.stop()
	r.cfg.Images = false
	s = r.start()
	require.Equal(t, event.Healthy, s.Health().Status, "%v", s.Health().Reasons)
}

func TestDatabaseThatCanBeReadAgainIsNoReason(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.advise("GHSA-1", "left-pad", "4.17.21", "HIGH")
	r.importAdvisories()
	s := r.start()
	manifest := filepath.Join(r.db, "manifest.json")
	require.NoError(t, os.Rename(manifest, manifest+".old"))
	require.NoError(t, os.WriteFile(manifest, []byte("{"), 0o600))
	require.Eventually(t, func() bool { return s.Health().Status == event.Degraded }, patience, tick)
	require.Contains(t, s.Health().Reasons[0], "the vulnerability database cannot be read")
	require.NoError(t, os.Rename(manifest+".old", manifest))
	require.Eventually(t, func() bool { return s.Health().Status == event.Healthy }, patience, tick, "%v", s.Health())
}

// A folder that appears later, is replaced, or is behind a link is watched, too.
func TestFoldersThatComeLaterAreWatched(t *testing.T) {
	t.Parallel()
	for name, replace := range map[string]func(t *testing.T, app string){
		"missing at the start": func(*testing.T, string) {},
		"replaced": func(t *testing.T, app string) {
			require.NoError(t, os.Rename(app, app+".old"))
			require.NoError(t, os.Mkdir(app, 0o700))
		},
		"removed and made again": func(t *testing.T, app string) {
			require.NoError(t, os.RemoveAll(app))
			require.NoError(t, os.Mkdir(app, 0o700))
		},
		"behind a link that points elsewhere": func(t *testing.T, app string) {
			require.NoError(t, os.Mkdir(app+".2", 0o700))
			require.NoError(t, os.Remove(app))
			require.NoError(t, os.Symlink(app+".2", app))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			require.NoError(t, os.Remove(r.app))
			switch name {
			case "missing at the start":
			case "behind a link that points elsewhere":
				require.NoError(t, os.Mkdir(r.app+".1", 0o700))
				require.NoError(t, os.Symlink(r.app+".1", r.app))
			default:
				require.NoError(t, os.Mkdir(r.app, 0o700))
			}
			s := r.start()
			if name == "missing at the start" {
				require.NoError(t, os.Mkdir(r.app, 0o700))
			} else {
				r.lock("a@1.0.0")
				s.await("packages", 1)
			}
			replace(t, r.app)
			r.lock("a@1.0.0", "b@1.0.0")
			s.await("packages", 2)
			r.lock("a@1.0.0", "b@1.0.0", "c@1.0.0")
			s.await("packages", 3)
		})
	}
}

// A new database is matched with the saved inventories, without a scan.
func TestNewDatabaseOverManyPackages(t *testing.T) {
	t.Parallel()
	const files, perFile, packages, bar = 100, 1000, 100_001, 5 * time.Second
	r := newRig(t)
	r.lock("lodash@4.17.20")
	for file := range files {
		text := strings.Builder{}
		text.WriteString("{\"name\":\"a\",\"lockfileVersion\":3,\"packages\":{")
		for n := range perFile {
			fmt.Fprintf(&text, "\"node_modules/package-%d\":{\"version\":\"1.%d.0\"},", file*perFile+n, n%50)
		}
		require.NoError(t, os.Mkdir(filepath.Join(r.app, fmt.Sprint(file)), 0o700))
		r.write(fmt.Sprintf("%d/package-lock.json", file), strings.TrimSuffix(text.String(), ",")+"}}")
	}
	for n := range 1000 {
		r.advise(fmt.Sprintf("GHSA-%d", n), fmt.Sprintf("package-%d", n*100), "1.25.0", "LOW")
	}
	r.importAdvisories()
	s := r.start()
	s.await("packages", packages)
	s.await("advisories", 1000)
	scans := s.Health().Counters["scans"]
	r.advise("GHSA-new", "lodash", "4.17.21", "HIGH")
	r.importAdvisories()
	began := time.Now()
	r.awaitAlerts(1)
	t.Logf("%d packages: database imported -> alert: %v (bar %v)", packages, time.Since(began).Round(time.Millisecond), bar)
	require.Less(t, time.Since(began), bar)
	require.Equal(t, scans, s.Health().Counters["scans"])
}
