package osvscanner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
	"github.com/ironpost/ironpost/services/sbomscanner/extract"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
	"github.com/ironpost/ironpost/services/sbomscanner/match"
)

// built is the program, built once for all tests, without the race detector.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", Program)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, Program)
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "github.com/ironpost/ironpost/cmd/"+Program)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as make build does, so that what that compiled is used
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return path, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := built(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

func engine(t testing.TB, o Options) *Engine {
	t.Helper()
	path, err := built()
	require.NoError(t, err)
	e, err := at(path, o)
	require.NoError(t, err)
	return e
}

// store imports what lies in a folder.
func store(t testing.TB, source string) *advisory.Store {
	t.Helper()
	dir := t.TempDir()
	_, err := advisory.Import(t.Context(), dir, source, advisory.Options{})
	require.NoError(t, err)
	s, err := advisory.Open(dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func storeOf(t testing.TB, records ...string) *advisory.Store {
	t.Helper()
	source := t.TempDir()
	for i, r := range records {
		require.True(t, json.Valid([]byte(r)), r)
		require.NoError(t, os.WriteFile(filepath.Join(source, fmt.Sprintf("%d.json", i)), []byte(r), 0o600))
	}
	return store(t, source)
}

func osvRecord(id, ecosystem, name, ranges string) string {
	return fmt.Sprintf(`{"id":%q,"modified":"2021-01-01T00:00:00Z","affected":[{"package":{"ecosystem":%q,"name":%q},"ranges":[%s]}]}`, id, ecosystem, name, ranges)
}

const (
	gitRange = `{"type":"GIT","repo":"https://example.org/p","events":[{"introduced":"0"}]}`
	below2   = `{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"2.0"}]}`
)

func pkg(t testing.TB, purl string) inventory.Package {
	t.Helper()
	p, err := inventory.FromPURL(purl)
	require.NoError(t, err)
	return p
}

func TestEveryDifferenceHasAReason(t *testing.T) {
	t.Parallel()
	s := storeOf(t,
		osvRecord("A-1", "PyPI", "p", below2),
		osvRecord("A-2", "PyPI", "p", gitRange+","+below2),
		osvRecord("A-3", "PyPI", "q", below2),
		osvRecord("A-4", "Debian:12", "openssl", below2),
		osvRecord("A-5", "Debian:11", "openssl", below2),
	)
	inv := &inventory.Inventory{Packages: []inventory.Package{
		pkg(t, "pkg:pypi/p@1.5"), pkg(t, "pkg:pypi/q@latest"), pkg(t, "pkg:npm/p@1.0.0"),
		pkg(t, "pkg:deb/debian/libssl3@1.0?distro=debian-12&upstream=openssl@1.1"),
	}}
	ours, err := match.New(s, match.Options{}).Match(t.Context(), inv)
	require.NoError(t, err)
	report, err := engine(t, Options{}).Scan(t.Context(), s, Target{Inventory: inv})
	require.NoError(t, err)
	require.Equal(t, "osv-scanner 2.5.1", report.Engine)
	c, err := Compare(s, inv, ours, report)
	require.NoError(t, err)
	require.Equal(t, &Comparison{Engine: report.Engine, Common: 2, Differences: []Difference{
		{"pkg:pypi/p@1.5", "A-2", Ironpost, GitFirst},
		{"pkg:pypi/q@latest", "A-3", OSVScanner, VersionUnreadable},
	}}, c)

	theirs, err := engine(t, Options{}).Match(t.Context(), s, match.Options{}, inv)
	require.NoError(t, err)
	require.Len(t, theirs.Findings, 3)
	require.Equal(t, map[string]int{"npm": 1}, theirs.NotAssessed)
	require.Equal(t, []string{"A-4"}, theirs.Findings[0].IDs)
	require.Equal(t, "pkg:deb/debian/libssl3@1.0?distro=debian-12&upstream=openssl%401.1", theirs.Findings[0].PURL)
	require.Equal(t, []string{"2.0"}, theirs.Findings[0].Fixed)
}

// On real manifests and advisories: osv-scanner finds nothing that the matcher does not find, and what it does not find has a reason.
func TestRealManifests(t *testing.T) {
	t.Parallel()
	manifests, advisories := testenv.Data(t, "manifests"), testenv.Data(t, "osv")
	s := store(t, advisories)
	extractor, err := extract.New(extract.Options{})
	require.NoError(t, err)
	inv, err := extractor.Directory(t.Context(), manifests)
	require.NoError(t, err)
	ours, err := match.New(s, match.Options{}).Match(t.Context(), inv)
	require.NoError(t, err)
	e := engine(t, Options{})
	report, err := e.Scan(t.Context(), s, Target{Inventory: inv, Directory: manifests})
	require.NoError(t, err)
	c, err := Compare(s, inv, ours, report)
	require.NoError(t, err)
	reasons := map[Reason]int{}
	for _, d := range c.Differences {
		require.Equal(t, Ironpost, d.OnlyIn, "%+v", d)
		reasons[d.Reason]++
	}
	t.Logf("%d packages, %d common, only ours: %v", len(inv.Packages), c.Common, reasons)
	require.Zero(t, reasons[Unknown])

	_, err = engine(t, Options{MemoryBytes: 40 << 20}).Scan(t.Context(), s, Target{Inventory: inv, Directory: manifests})
	require.ErrorContains(t, err, "osv-scanner failed", "its memory is limited")

	// The archives made from the index are as good as the original ones.
	original, err := e.run(t.Context(), t.TempDir(), originalRequest(t, manifests, advisories))
	require.NoError(t, err)
	require.Equal(t, original, report)
}

// The real advisories that osv-scanner misses, because commits come first and there is no list of versions.
func TestRealAdvisoriesWithCommitsFirst(t *testing.T) {
	t.Parallel()
	s := store(t, testenv.Data(t, "osv"))
	inv := &inventory.Inventory{}
	ids := map[string]bool{}
	require.NoError(t, s.Each("PyPI", func(a *advisory.Advisory) error {
		for _, entry := range a.Affected {
			if len(entry.Versions) > 0 || len(entry.Ranges) < 2 || entry.Ranges[0].Type != advisory.Git || !a.Withdrawn.IsZero() {
				continue
			}
			ids[a.ID] = true
			for _, e := range entry.Ranges[1].Events {
				if v := e.Introduced; v != "" {
					inv.Packages = append(inv.Packages, pkg(t, "pkg:pypi/"+entry.Name+"@"+map[bool]string{true: "0.0.1", false: v}[v == "0"]))
				}
			}
		}
		return nil
	}))
	inv.Sort()
	ours, err := match.New(s, match.Options{}).Match(t.Context(), inv)
	require.NoError(t, err)
	report, err := engine(t, Options{}).Scan(t.Context(), s, Target{Inventory: inv})
	require.NoError(t, err)
	c, err := Compare(s, inv, ours, report)
	require.NoError(t, err)
	missed := map[string]bool{}
	for _, d := range c.Differences {
		require.Equal(t, GitFirst, d.Reason, "%+v", d)
		missed[d.ID] = true
	}
	require.Len(t, ids, 13)
	delete(ids, "PYSEC-2021-371") // fixed in 0.2.0-n653, which PEP 440 does not order: neither engine can decide
	require.Equal(t, map[string]int{"PyPI": 1}, ours.Unreadable)
	for id := range ids {
		require.True(t, missed[id], id)
	}
}

// originalRequest is a request with the archives of a data folder themselves.
func originalRequest(t *testing.T, directory, advisories string) Request {
	t.Helper()
	r := Request{Directory: directory, Database: t.TempDir(), Config: filepath.Join(t.TempDir(), "empty.toml")}
	require.NoError(t, os.WriteFile(r.Config, nil, 0o600))
	require.NoError(t, writeDatabase(t.Context(), r.Database, nil, &inventory.Inventory{}))
	archives, err := filepath.Glob(filepath.Join(advisories, "*", "all.zip"))
	require.NoError(t, err)
	for _, path := range archives {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		to := filepath.Join(r.Database, "osv-scalibr", filepath.Base(filepath.Dir(path)), "all.zip")
		require.NoError(t, os.WriteFile(to, content, 0o600))
	}
	return r
}

func TestWithoutTheProgram(t *testing.T) {
	t.Parallel()
	_, err := Find(Options{})
	require.ErrorIs(t, err, ErrNotBuilt)
	require.ErrorContains(t, err, "make build")
}

func TestAFailureOfTheProgramIsAnError(t *testing.T) {
	t.Parallel()
	s := storeOf(t, osvRecord("A-1", "PyPI", "p", below2))
	inv := &inventory.Inventory{Packages: []inventory.Package{pkg(t, "pkg:pypi/p@1.5")}}

	_, err := engine(t, Options{}).Scan(t.Context(), s, Target{Inventory: inv, Directory: filepath.Join(t.TempDir(), "missing")})
	require.ErrorContains(t, err, "no such file")

	_, err = engine(t, Options{Timeout: time.Millisecond}).Scan(t.Context(), s, Target{Inventory: inv})
	require.ErrorContains(t, err, "within 1ms")

	canceled := errors.New("the caller has had enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(canceled)
	_, err = engine(t, Options{}).Scan(ctx, s, Target{Inventory: inv})
	require.ErrorIs(t, err, canceled)
}
