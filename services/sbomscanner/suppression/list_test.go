package suppression_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
	"github.com/ironpost/ironpost/services/sbomscanner/suppression"
)

var now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func lodash(names ...string) suppression.Finding {
	return suppression.Finding{
		PURL: "pkg:npm/lodash@4.17.20", Names: names,
		Asset: inventory.Asset{Kind: inventory.Image, Name: "registry.example:5000/shop/web:1.4", Digest: "sha256:aa"},
	}
}

func TestIgnoreFile(t *testing.T) {
	t.Parallel()
	l, err := suppression.Load(write(t, "ignore.toml", `
[[ignore]]
id = "CVE-2024-1"
package = "pkg:npm/lodash@*"
reason = "the parser is not reachable"
expires = 2026-12-31

[[ignore]]
package = "pkg:npm/left-pad@1.0.0"
reason = "test data"
expires = 2026-11-01T00:00:00Z
`), nil, now)
	require.NoError(t, err)
	got, found := l.Find(lodash("GHSA-1", "CVE-2024-1"), now)
	require.True(t, found)
	require.True(t, strings.HasSuffix(got.Source, "ignore.toml:2:3"), got.Source)
	require.Equal(t, "the parser is not reachable", got.Reason)
	_, found = l.Find(lodash("CVE-2024-1"), time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC))
	require.False(t, found, "the entry has ended")
	_, found = l.Find(lodash("CVE-2024-2"), now)
	require.False(t, found)
	_, found = l.Find(suppression.Finding{PURL: "pkg:npm/left-pad@1.0.0", Names: []string{"CVE-2024-3"}}, now)
	require.False(t, found)
	require.Len(t, l.Expired(now), 1)
	require.Equal(t, "test data", l.Expired(now)[0].Reason)
}

func TestMistakesOfTheIgnoreFileHaveTheirPosition(t *testing.T) {
	t.Parallel()
	path := write(t, "ignore.toml", `id = "x"
[[ignore]]
id = "CVE-1"
expires = 2028-01-01
[[ignore]]
reason = ""
pakcage = "pkg:npm/a"
[other]
[[ignore]]
id = 7
reason = "r"
expires = "soon"
`)
	_, err := suppression.Load(path, nil, now)
	require.EqualError(t, err, strings.ReplaceAll(`F:1:1: id: stands before the first section [[ignore]]
F:2:3: reason: is missing: say why the finding does not matter
F:4:11: expires: "2028-01-01" is more than 366 days ahead
F:5:3: needs id or package, or both
F:5:3: expires: is missing: the day from which it is reported again, at most 366 days ahead
F:6:10: reason: must not be empty
F:7:1: pakcage: unknown key, allowed are id, package, reason, expires
F:8:2: unknown section, every entry is a section [[ignore]]
F:10:6: id: is a whole number, must be a string
F:12:11: expires: is a string, must be a date such as 2027-01-31, or a time with its zone`, "F:", path+":"))
	_, err = suppression.Load(write(t, "ignore.toml", "[[ignore]]\nid = \"a\"\nid = \"b\"\n"), nil, now)
	require.ErrorContains(t, err, "ignore.toml:3:")
}

const vexHeader = `{"@context": "https://openvex.dev/ns/v0.2.0", "@id": "x", "author": "a", "timestamp": "2026-01-01T00:00:00Z", "version": 1, "statements": [`

func TestOpenVEX(t *testing.T) {
	t.Parallel()
	first := write(t, "a.json", vexHeader+`
  {"vulnerability": {"name": "CVE-2024-1", "aliases": ["GHSA-1"]}, "products": [{"@id": "pkg:npm/lodash"}], "status": "not_affected", "justification": "vulnerable_code_not_in_execute_path"},
  {"vulnerability": {"@id": "https://nvd.nist.gov/vuln/detail/CVE-2024-2"}, "products": [{"@id": "pkg:oci/web?tag=1.4", "subcomponents": [{"identifiers": {"purl": "pkg:npm/lodash@4.17.20"}}]}], "status": "fixed"},
  {"vulnerability": {"name": "CVE-2024-3"}, "products": [{"@id": "pkg:npm/lodash@4.17.21"}], "status": "fixed"},
  {"vulnerability": {"name": "CVE-2024-4"}, "products": [{"@id": "pkg:npm/lodash"}], "status": "under_investigation"}]}`)
	second := write(t, "b.json", vexHeader+`
  {"vulnerability": "CVE-2024-5", "products": ["pkg:npm/lodash@4.17.20"], "status": "not_affected", "impact_statement": "no"},
  {"vulnerability": "CVE-2024-5", "products": ["pkg:npm/lodash@4.17.20"], "status": "affected", "timestamp": "2026-06-01T00:00:00Z"}]}`)
	l, err := suppression.Load("", []string{first, second}, now)
	require.NoError(t, err)
	for name, status := range map[string]string{
		"GHSA-1": "not_affected", "CVE-2024-1": "not_affected", "CVE-2024-2": "fixed",
		"CVE-2024-3": "", "CVE-2024-4": "", "CVE-2024-5": "",
	} {
		got, found := l.Find(lodash(name), now)
		require.Equal(t, status != "", found, name)
		require.Equal(t, status, got.Status, name)
	}
	other := lodash("CVE-2024-2")
	other.Asset.Name = "shop/web:1.5"
	_, found := l.Find(other, now)
	require.False(t, found, "another tag")

	for text, want := range map[string]string{
		"{":                  "unexpected end",
		`{"statements": []}`: "@context",
		vexHeader + `{}]}`:   "statement 1: status",
		vexHeader + `{"vulnerability": "CVE-1", "products": ["pkg:npm/a"], "status": "not_affected"}]}`: "needs a justification",
	} {
		_, err := suppression.Load("", []string{write(t, "bad.json", text)}, now)
		require.ErrorContains(t, err, want)
	}
}

func FuzzOpenVEX(f *testing.F) {
	f.Add([]byte(vexHeader + `{"vulnerability": {"name": "CVE-2024-1"}, "products": [{"@id": "pkg:npm/lodash", "subcomponents": ["pkg:npm/a"]}], "status": "fixed"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "v.json")
		require.NoError(t, os.WriteFile(path, data, 0o600))
		l, err := suppression.Load("", []string{path}, now)
		if err == nil {
			l.Find(lodash("CVE-2024-1"), now)
		}
	})
}

func FuzzIgnoreFile(f *testing.F) {
	f.Add([]byte("[[ignore]]\nid = \"CVE-*\"\nreason = \"r\"\nexpires = 2026-12-31\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "i.toml")
		require.NoError(t, os.WriteFile(path, data, 0o600))
		l, err := suppression.Load(path, nil, now)
		if err == nil {
			l.Find(lodash("CVE-2024-1"), now)
		}
	})
}
