package advisory_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
	"github.com/ironpost/ironpost/services/sbomscanner/advisory/advisorytest"
)

type object = map[string]any

// TestMalformedRecordCostsOneRecord imports what is usable and names the rest.
func TestMalformedRecordCostsOneRecord(t *testing.T) {
	t.Parallel()
	dir, archive := t.TempDir(), filepath.Join(t.TempDir(), "npm", "all.zip")
	advisorytest.Zip(t, archive, map[string]string{
		"GHSA-1.json":    advisorytest.Record("GHSA-1", "npm", "left", "1.0.0"),
		"GHSA-2.json":    advisorytest.Record("GHSA-2", "npm", "right", "1.0.0")[:40],
		"GHSA-3.json":    advisorytest.Record("GHSA-1", "npm", "same-id", "1.0.0"),
		"GHSA-4.json":    advisorytest.Record("GHSA 4", "npm", "bad", "1.0.0"),
		"GHSA-5.json":    advisorytest.Record("GHSA-5", "npm", "bad", "1.0.0", func(r object) { r["withdrawn"] = "yesterday" }),
		"GHSA-6.json":    advisorytest.Record("GHSA-6", "Maven", "bad", "1.0.0"),
		"GHSA-7.json":    `{"id": "GHSA-7", "affected": {"package": 1}}`,
		"../GHSA-8.json": advisorytest.Record("GHSA-8", "npm", "outside", "1.0.0"),
		"README":         "hello",
		"GHSA-9.json":    advisorytest.Record("GHSA-9", "npm", "gone", "1.0.0", func(r object) { r["withdrawn"] = "2026-01-01T00:00:00Z" }),
	})
	report, err := advisory.Import(t.Context(), dir, archive, advisory.Options{})
	require.NoError(t, err)
	require.Len(t, report.Imported, 1)
	got := report.Imported[0]
	require.Equal(t, 2, got.Records)
	require.Equal(t, 1, got.Withdrawn)
	require.Equal(t, map[string]int{
		"malformed_json": 2, "duplicate_id": 1, "bad_id": 1, "bad_time": 1, "other_ecosystem": 1, "unsafe_file_name": 2,
	}, got.Refused)
	require.Len(t, got.Examples, 8)
	require.Equal(t, "../GHSA-8.json", got.Examples[0].File)

	store := open(t, dir)
	require.Equal(t, []string{"GHSA-1"}, ids(t, store, "npm", "left"))
	require.Empty(t, ids(t, store, "npm", "bad"))
	gone, err := store.Lookup("npm", "gone")
	require.NoError(t, err)
	require.Equal(t, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), gone[0].Withdrawn)
}

// TestLookup finds packages under every spelling that their registry takes for the same, and nothing else.
func TestLookup(t *testing.T) {
	t.Parallel()
	dir, source := t.TempDir(), t.TempDir()
	git := advisorytest.Record("CVE-2026-1", "", "", "", func(r object) {
		r["affected"] = []object{{"ranges": []object{{"type": "GIT", "repo": "https://example.org", "events": []object{{"introduced": "0"}}}}}}
		r["severity"] = []object{{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}}
	})
	both := advisorytest.Record("GHSA-b", "npm", "Both", "2.0.0", func(r object) {
		r["aliases"] = []string{"CVE-2026-1"}
		r["details"] = "Long."
		r["affected"] = append(r["affected"].([]object), object{
			"package": object{"ecosystem": "Debian:12", "name": "node-both"}, "ecosystem_specific": object{"urgency": "unimportant"},
		}, object{"package": object{"ecosystem": "Debian:13", "name": "node-both"}}, object{"package": object{"ecosystem": "Debian:13", "name": "other"}})
	})
	for name, record := range map[string]string{
		"git": git, "both": both,
		"python": advisorytest.Record("PYSEC-1", "PyPI", "Zope.Interface__X", "2.0.0"),
		"nuget":  advisorytest.Record("GHSA-n", "NuGet", "Snowflake.Data", "2.0.0"),
		"go":     advisorytest.Record("GO-1", "Go", "github.com/A/b", "2.0.0"),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(source, name+".json"), []byte(record), 0o600))
	}
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(source, "link.json")))
	report, err := advisory.Import(t.Context(), dir, source, advisory.Options{})
	require.NoError(t, err)
	require.Empty(t, report.Imported[0].Refused)

	store := open(t, dir)
	for _, c := range []struct {
		ecosystem, name string
		want            []string
	}{
		{"PyPI", "zope-interface-x", []string{"PYSEC-1"}},
		{"PyPI", "ZOPE_interface.x", []string{"PYSEC-1"}},
		{"NuGet", "snowflake.data", []string{"GHSA-n"}},
		{"Go", "github.com/A/b", []string{"GO-1"}},
		{"Go", "github.com/a/b", nil},
		{"npm", "Both", []string{"GHSA-b"}},
		{"npm", "node-both", nil},
		{"Debian:13", "node-both", []string{"GHSA-b"}},
		{"GIT", "", nil},
	} {
		require.Equal(t, c.want, ids(t, store, c.ecosystem, c.name), "%s %s", c.ecosystem, c.name)
	}
	found, err := store.Lookup("Debian:13", "node-both")
	require.NoError(t, err)
	require.Equal(t, []advisory.Affected{
		{Ecosystem: "Debian:12", Name: "node-both", Rating: "unimportant"}, {Ecosystem: "Debian:13", Name: "node-both"},
	}, found[0].Affected)

	byAlias, err := store.ByID("CVE-2026-1")
	require.NoError(t, err)
	require.Len(t, byAlias, 2)
	require.Equal(t, "CVE-2026-1", byAlias[0].ID)
	require.Equal(t, "CVSS_V3", byAlias[0].Severities[0].Type)
	require.Equal(t, "Long.", byAlias[1].Details)
	require.Len(t, byAlias[1].Affected, 4, "of npm and Debian")
}

// TestImportIsRefused leaves the database as it is.
func TestImportIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := importRecords(t, dir, "npm", 100)
	few := filepath.Join(t.TempDir(), "npm", "all.zip")
	advisorytest.Zip(t, few, records("npm", 89))
	_, err := advisory.Import(t.Context(), dir, few, advisory.Options{})
	require.ErrorContains(t, err, "npm would have 89 records instead of 100")

	bad := filepath.Join(t.TempDir(), "npm", "all.zip")
	files := records("npm", 120)
	for i := range 21 {
		files[fmt.Sprintf("BAD-%d.json", i)] = "{"
	}
	advisorytest.Zip(t, bad, files)
	_, err = advisory.Import(t.Context(), dir, bad, advisory.Options{})
	require.ErrorContains(t, err, "21 of 141 records are unusable (malformed_json: 21): the first is BAD-0.json")

	for _, source := range []string{t.TempDir(), filepath.Join(t.TempDir(), "none.zip"), "/dev/null", "/etc/passwd"} {
		_, err = advisory.Import(t.Context(), dir, source, advisory.Options{})
		require.Error(t, err, source)
	}
	require.Equal(t, first.ID, open(t, dir).Status().ID)

	forced, err := advisory.Import(t.Context(), dir, few, advisory.Options{Force: true})
	require.NoError(t, err)
	require.Equal(t, 89, forced.Records())
}

// TestRollback returns to the previous generation, and back again.
func TestRollback(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.ErrorContains(t, advisory.Rollback(dir), "no previous generation")
	first := importRecords(t, dir, "npm", 10)
	old := open(t, dir)
	second := importRecords(t, dir, "npm", 11)
	importRecords(t, dir, "npm", 11) // the same content again is not another generation
	require.NotEqual(t, first.ID, second.ID)
	changed, err := old.Changed()
	require.NoError(t, err)
	require.True(t, changed)
	require.Empty(t, ids(t, old, "npm", "package-10"), "an open store does not change")

	require.NoError(t, advisory.Rollback(dir))
	require.Equal(t, first.ID, open(t, dir).Status().ID)
	require.NoError(t, advisory.Rollback(dir))
	store := open(t, dir)
	require.Equal(t, second.ID, store.Status().ID)
	require.Equal(t, []string{"TEST-10"}, ids(t, store, "npm", "package-10"))

	importRecords(t, dir, "npm", 12)
	importRecords(t, dir, "npm", 13)
	require.Equal(t, []string{"TEST-9"}, ids(t, old, "npm", "package-9"), "although its file is gone")
	files, err := os.ReadDir(filepath.Join(dir, "index"))
	require.NoError(t, err)
	require.Len(t, files, 2, "the current and the previous one")
}

// TestDamagedDatabase falls back to the previous generation, and is a clear error without one.
func TestDamagedDatabase(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(*testing.T, string){
		"cut off":  func(t *testing.T, path string) { require.NoError(t, os.Truncate(path, 400)) },
		"empty":    func(t *testing.T, path string) { require.NoError(t, os.Truncate(path, 0)) },
		"removed":  func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) },
		"replaced": func(t *testing.T, path string) { require.NoError(t, os.WriteFile(path, []byte("hello"), 0o600)) },
		"link": func(t *testing.T, path string) {
			require.NoError(t, os.Rename(path, path+".moved"))
			require.NoError(t, os.Symlink(path+".moved", path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			first := importRecords(t, dir, "npm", 10)
			damage(t, indexFile(dir, first))
			_, err := advisory.Open(dir)
			var corrupt *advisory.CorruptError
			require.ErrorAs(t, err, &corrupt)
			require.Equal(t, indexFile(dir, first), corrupt.File)

			second := importRecords(t, dir, "npm", 11)
			third := importRecords(t, dir, "npm", 12)
			damage(t, indexFile(dir, third))
			store := open(t, dir)
			require.Equal(t, second.ID, store.Status().ID)
			require.Contains(t, store.Status().Damaged, third.Imported[0].File)
			require.Equal(t, []string{"TEST-10"}, ids(t, store, "npm", "package-10"))
		})
	}
}

// TestDamagedRecord is found when it is read: the file is not read as a whole when it is opened.
func TestDamagedRecord(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := indexFile(dir, importRecords(t, dir, "npm", 1))
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	b[20] ^= 1
	require.NoError(t, os.WriteFile(path, b, 0o600))
	_, err = open(t, dir).Lookup("npm", "package-0")
	var corrupt *advisory.CorruptError
	require.ErrorAs(t, err, &corrupt)
	require.ErrorContains(t, err, "a record does not have its checksum: run `ironpost vulndb rollback`")
}

// TestFileCutOffWhileMapped: what a mapped file or its disk does not give any more is an error of the lookup, not the end of the process.
func TestFileCutOffWhileMapped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := indexFile(dir, importRecords(t, dir, "npm", 1000))
	store := open(t, dir)
	require.NoError(t, os.Truncate(path, 0))
	var corrupt *advisory.CorruptError
	_, err := store.Lookup("npm", "package-7")
	require.ErrorAs(t, err, &corrupt)
	require.Equal(t, path, corrupt.File)
	_, err = store.ByID("TEST-7")
	require.ErrorAs(t, err, &corrupt)
	require.ErrorAs(t, store.Each("npm", func(*advisory.Advisory) error { return nil }), &corrupt)
}

func TestEPSS(t *testing.T) {
	t.Parallel()
	dir, path := t.TempDir(), filepath.Join(t.TempDir(), "epss_scores-2026-08-21.csv")
	require.NoError(t, os.WriteFile(path, []byte("#model_version:v2026.03.14,score_date:2026-08-21T12:55:00Z\n"+
		"cve,epss,percentile\nCVE-1999-0001,0.01297,0.79\nCVE-2026-1,2,0\nGHSA-1,0.5,0.5\nCVE-2026-2,1,1\n"), 0o600))
	report, err := advisory.Import(t.Context(), dir, path, advisory.Options{})
	require.NoError(t, err)
	require.Equal(t, 2, report.EPSS.Records)
	require.Equal(t, map[string]int{"bad_id": 1, "bad_score": 1}, report.EPSS.Refused)
	require.Equal(t, "line 4", report.EPSS.Examples[0].File)
	require.Equal(t, time.Date(2026, 8, 21, 0, 0, 0, 0, time.UTC), report.EPSS.Newest)
	store := open(t, dir)
	require.True(t, store.Empty(), "scores are not advisories")
	score, ok, err := store.EPSS("CVE-1999-0001")
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, advisory.EPSS{CVE: "CVE-1999-0001", Probability: 0.01297, Percentile: 0.79}, score)
	_, ok, err = store.EPSS("CVE-2026-1")
	require.NoError(t, err)
	require.False(t, ok)

	require.NoError(t, os.WriteFile(path, []byte("cve,epss,percentile\nCVE-1999-0001,0.01297,0.79\n"), 0o600))
	_, err = advisory.Import(t.Context(), dir, path, advisory.Options{})
	require.ErrorContains(t, err, "EPSS would have 1 records instead of 2")
}

func records(ecosystem string, n int) map[string]string {
	files := make(map[string]string)
	for i := range n {
		id := fmt.Sprintf("TEST-%d", i)
		files[id+".json"] = advisorytest.Record(id, ecosystem, fmt.Sprintf("package-%d", i), "1.0.0")
	}
	return maps.Clone(files)
}

func importRecords(t *testing.T, dir, ecosystem string, n int) *advisory.Report {
	t.Helper()
	path := filepath.Join(t.TempDir(), ecosystem, "all.zip")
	advisorytest.Zip(t, path, records(ecosystem, n))
	report, err := advisory.Import(t.Context(), dir, path, advisory.Options{})
	require.NoError(t, err)
	return report
}

func indexFile(dir string, r *advisory.Report) string {
	return filepath.Join(dir, "index", r.Imported[0].File)
}

func ids(t *testing.T, store *advisory.Store, ecosystem, name string) []string {
	t.Helper()
	found, err := store.Lookup(ecosystem, name)
	require.NoError(t, err)
	var list []string
	for _, a := range found {
		list = append(list, a.ID)
	}
	return list
}
