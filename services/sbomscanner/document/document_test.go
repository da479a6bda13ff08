package document_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/osv-scalibr/extractor/filesystem"
	"github.com/google/osv-scalibr/extractor/filesystem/sbom/cdx"
	"github.com/google/osv-scalibr/extractor/filesystem/sbom/spdx"
	"github.com/google/osv-scalibr/purl"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/sbomscanner/document"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
	"github.com/ironpost/ironpost/services/sbomscanner/match"
)

func formats() []document.Format { return []document.Format{document.CycloneDX, document.SPDX} }

// schemas compiles the official schema of each format, without network.
func schemas(t testing.TB) map[document.Format]*jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for _, name := range []string{"bom-1.6.schema.json", "jsf-0.82.schema.json", "spdx.schema.json", "spdx-schema-2.3.json"} {
		parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemaFile(t, name)))
		require.NoError(t, err)
		require.NoError(t, c.AddResource("http://cyclonedx.org/schema/"+name, parsed))
	}
	out := map[document.Format]*jsonschema.Schema{}
	for f, name := range map[document.Format]string{document.CycloneDX: "bom-1.6.schema.json", document.SPDX: "spdx-schema-2.3.json"} {
		compiled, err := c.Compile("http://cyclonedx.org/schema/" + name)
		require.NoError(t, err)
		out[f] = compiled
	}
	return out
}

func schemaFile(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata/schema", name+".gz"))
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	unpacked, err := gzip.NewReader(f)
	require.NoError(t, err)
	raw, err := io.ReadAll(unpacked)
	require.NoError(t, err)
	return raw
}

// encode returns the document after checking what holds for every one: the schema accepts it, a second run gives the same bytes,
// it is one line of UTF-8 that a terminal may show.
func encode(t testing.TB, schema *jsonschema.Schema, f document.Format, inv *inventory.Inventory, o document.Options) []byte {
	t.Helper()
	raw, err := document.Encode(f, inv, o)
	require.NoError(t, err)
	var again bytes.Buffer
	require.NoError(t, document.Write(&again, f, inv, o))
	require.True(t, bytes.Equal(raw, again.Bytes()), "two runs differ")
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	require.NoError(t, err)
	require.NoError(t, schema.Validate(parsed))
	require.Equal(t, len(raw)-1, bytes.IndexByte(raw, '\n'))
	require.True(t, utf8.Valid(raw))
	require.Equal(t, string(raw[:len(raw)-1]), event.Printable(string(raw[:len(raw)-1]), len(raw)), "nothing that a terminal would obey")
	return raw
}

// readBack returns the package URLs that scalibr's own reader finds in a document, sorted.
func readBack(t testing.TB, f document.Format, raw []byte) []string {
	t.Helper()
	var reader filesystem.Extractor
	var err error
	if reader, err = cdx.New(nil); f == document.SPDX {
		reader, err = spdx.New(nil)
	}
	require.NoError(t, err)
	found, err := reader.Extract(context.Background(), &filesystem.ScanInput{Path: "a" + f.Extension(), Reader: bytes.NewReader(raw)})
	require.NoError(t, err)
	var out []string
	for _, p := range found.Packages {
		if u := p.PURL(); u != nil {
			out = append(out, u.String())
		}
	}
	slices.Sort(out)
	return out
}

func purls(t testing.TB, inv *inventory.Inventory) []string {
	t.Helper()
	var out []string
	for _, p := range inv.Packages {
		u, err := purl.FromString(p.PURL)
		require.NoError(t, err)
		out = append(out, u.String())
	}
	slices.Sort(out)
	return out
}

// sample is an inventory with everything an inventory may have.
func sample() *inventory.Inventory {
	digest := "sha256:" + strings.Repeat("ab", 32)
	return &inventory.Inventory{
		Asset: inventory.Asset{
			Kind: inventory.Image, Name: "shop:1.2", Digest: digest,
			Containers: []event.Container{{ID: strings.Repeat("4f", 32), Name: "web-1", Image: "shop:1.2"}},
		},
		Time: time.Date(2026, 11, 23, 8, 0, 0, 5, time.FixedZone("", 3600)),
		Packages: []inventory.Package{
			{PURL: "pkg:npm/%40babel/core@7.1.0", Name: "@babel/core", Version: "7.1.0", Ecosystem: "npm", Locations: []string{"app/package-lock.json"}, DependsOn: []string{"pkg:npm/lodash@4.17.20", "pkg:npm/gone@1"}, Licenses: []string{"mit"}},
			{PURL: "pkg:npm/lodash@4.17.20", Name: "lodash", Version: "4.17.20", Ecosystem: "npm", Locations: []string{"app/package-lock.json", "b/package-lock.json"}, Groups: []string{"dev"}, Licenses: []string{"SEE LICENSE IN <LICENSE>"}},
			{PURL: "pkg:deb/debian/openssl@3.0.11-1~deb12u2?arch=amd64&distro=bookworm", Name: "openssl", Version: "3.0.11-1~deb12u2", Ecosystem: "Debian:12", AdvisoryName: "openssl-src", Layer: digest, Licenses: []string{"(Apache-2.0 OR mit) and gpl-2.0+ WITH Classpath-exception-2.0"}},
			{PURL: "pkg:cargo/rand@0.8.5", Name: "rand", Version: "0.8.5", Ecosystem: "crates.io", DependsOn: []string{"pkg:cargo/rand@0.8.5"}, Licenses: []string{"MIT OR Apache-2.0", "BSD-3-Clause", "my own"}},
		},
		Problems: []inventory.Problem{{Path: "x", Reason: "broken"}},
		Skipped:  map[string]int{"too_large": 3},
	}
}

func findings() *match.Result {
	return &match.Result{Findings: []match.Finding{
		{
			PURL: "pkg:npm/lodash@4.17.20", Name: "lodash", Version: "4.17.20", ID: "CVE-2021-23337", IDs: []string{"GHSA-35jh-r3h4-6jhm"}, Aliases: []string{"GHSA-35jh-r3h4-6jhm"},
			Summary: "Command injection", Severity: event.High, Score: 7.2, Vector: "CVSS:3.1/AV:N/AC:L/PR:H/UI:N/S:U/C:H/I:H/A:H", Fixed: []string{"4.17.21"}, KEV: true, EPSS: 0.02,
		},
		{PURL: "pkg:cargo/rand@0.8.5", Name: "rand", Version: "0.8.5", ID: "RUSTSEC-1", IDs: []string{"RUSTSEC-1"}, Severity: event.Medium, Unknown: true},
		{PURL: "pkg:npm/not-in-the-inventory@1", ID: "CVE-1"},
	}}
}

func decide(f match.Finding) (document.Analysis, bool) {
	return document.Analysis{Status: "not_affected", Justification: "vulnerable_code_not_in_execute_path", Detail: "never called"}, f.ID == "RUSTSEC-1"
}

func TestCycloneDXSaysWhatTheInventorySays(t *testing.T) {
	t.Parallel()
	raw := encode(t, schemas(t)[document.CycloneDX], document.CycloneDX, sample(), document.Options{Version: "1.0", Findings: findings(), Analysis: decide})
	requireGolden(t, "testdata/sample.cdx.json", raw)
	var doc struct {
		SerialNumber string
		Metadata     struct{ Timestamp string }
		Dependencies []struct {
			Ref       string
			DependsOn []string
		}
	}
	require.NoError(t, json.Unmarshal(raw, &doc))
	require.Regexp(t, "^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$", doc.SerialNumber)
	require.Equal(t, "2026-11-23T07:00:00Z", doc.Metadata.Timestamp)
	require.Equal(t, "pkg:npm/%40babel/core@7.1.0", doc.Dependencies[1].Ref)
	require.Equal(t, []string{"pkg:npm/lodash@4.17.20"}, doc.Dependencies[1].DependsOn, "a package that is not there is no dependency")
	require.NotContains(t, doc.Dependencies[0].DependsOn, "pkg:npm/lodash@4.17.20", "the asset needs what nothing else does")
}

func TestSPDXSaysWhatTheInventorySays(t *testing.T) {
	t.Parallel()
	raw := encode(t, schemas(t)[document.SPDX], document.SPDX, sample(), document.Options{Version: "1.0", Findings: findings(), Analysis: decide})
	requireGolden(t, "testdata/sample.spdx.json", raw)
	require.Contains(t, string(raw), `"licenseDeclared":"(Apache-2.0 OR MIT) AND GPL-2.0+ WITH Classpath-exception-2.0"`)
	require.Regexp(t, `"licenseDeclared":"\(MIT OR Apache-2.0\) AND BSD-3-Clause AND LicenseRef-[0-9a-f]{32}"`, string(raw))
}

// requireGolden compares a document with an indented file.
func requireGolden(t *testing.T, path string, raw []byte) {
	t.Helper()
	var is bytes.Buffer
	require.NoError(t, json.Indent(&is, raw, "", " "))
	if os.Getenv("UPDATE_GOLDEN") != "" {
		require.NoError(t, os.WriteFile(path, is.Bytes(), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), is.String(), "if the change is wanted: UPDATE_GOLDEN=1 go test ./services/sbomscanner/document")
}

func TestTheSerialNumberFollowsTheContent(t *testing.T) {
	t.Parallel()
	serial := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)
	for _, f := range formats() {
		seen := map[string]bool{}
		for _, change := range []func(*inventory.Inventory){
			func(*inventory.Inventory) {},
			func(i *inventory.Inventory) { i.Packages[1].Version = "4.17.19" },
			func(i *inventory.Inventory) { i.Time = i.Time.Add(time.Second) },
			func(i *inventory.Inventory) { i.Asset.Name = "urn:uuid:00000000-0000-0000-0000-000000000000" },
		} {
			inv := sample()
			change(inv)
			raw, err := document.Encode(f, inv, document.Options{})
			require.NoError(t, err)
			seen[serial.FindString(string(raw))] = true
			if strings.HasPrefix(inv.Asset.Name, "urn:") {
				require.Contains(t, string(raw), inv.Asset.Name, "a name that looks like the place of the serial number stays")
			}
		}
		require.Len(t, seen, 4)
	}
	_, err := document.Encode("swid", sample(), document.Options{})
	require.ErrorContains(t, err, `format of SBOM documents "swid" is none of cyclonedx, spdx`)
}

func TestDocumentsAreReadBackByScalibr(t *testing.T) {
	t.Parallel()
	compiled := schemas(t)
	for _, f := range formats() {
		inv := sample()
		require.Equal(t, purls(t, inv), readBack(t, f, encode(t, compiled[f], f, inv, document.Options{})))
	}
}

// Whatever an asset says of itself, its document is valid, and every package is in it once.
func TestHostileInventoriesGiveValidDocuments(t *testing.T) {
	t.Parallel()
	compiled := schemas(t)
	for _, f := range formats() {
		for _, inv := range []*inventory.Inventory{hostile(), {}, {Asset: inventory.Asset{Kind: inventory.Directory, Name: "/"}}} {
			raw := encode(t, compiled[f], f, inv, document.Options{Version: "1\n", Findings: hostileFindings(inv), Analysis: func(match.Finding) (document.Analysis, bool) {
				return document.Analysis{Status: "\x1b", Justification: "\x00", Detail: "\xff"}, true
			}})
			require.Less(t, len(raw), 1<<20)
			require.Equal(t, len(inv.Packages), countPackages(t, f, raw))
		}
	}
}

func hostile() *inventory.Inventory {
	bad := []string{"", "\x00\x1b[31m", "\xff\xfe", "\u202eevil", `"}],"x":[{"`, "</script>", "a\nb", strings.Repeat("é", 100_000), "pkg:npm/a b@1", "pkg:npm/a@1\x00", "pkg:npm/\xff@1", "pkg:npm/\xfe@1", "pkg:npm/" + strings.Repeat("x", 100_000), "NOASSERTION", "asset", "SPDXRef-DOCUMENT"}
	inv := &inventory.Inventory{Time: time.Unix(1<<40, 0), Asset: inventory.Asset{Kind: "\x00", Name: bad[1], Digest: "sha256:XYZ"}, Skipped: map[string]int{bad[1]: 1, bad[2]: 2}}
	for i, text := range bad {
		inv.Asset.Containers = append(inv.Asset.Containers, event.Container{ID: text, Name: text})
		inv.Packages = append(inv.Packages, inventory.Package{
			PURL: text, Name: text, Version: text, Ecosystem: text, AdvisoryName: text, Layer: text, Groups: bad[:i%3],
			Locations: slices.Repeat([]string{text}, 1000), DependsOn: bad, Licenses: bad,
		})
	}
	inv.Sort()
	return inv
}

func hostileFindings(inv *inventory.Inventory) *match.Result {
	r := &match.Result{}
	for _, p := range inv.Packages {
		r.Findings = append(r.Findings, match.Finding{
			PURL: p.PURL, Version: p.Version, ID: p.Name, IDs: p.DependsOn, Aliases: p.DependsOn, Summary: p.Name, Severity: event.Severity(len(p.Name) % 7), Vector: p.Name, Fixed: p.DependsOn, Score: -1, EPSS: 2,
		})
	}
	return r
}

// countPackages returns how many packages a document has beside the asset.
func countPackages(t *testing.T, f document.Format, raw []byte) int {
	t.Helper()
	var doc struct {
		Components []struct{ Ref string } `json:"components"`
		Packages   []struct{}             `json:"packages"`
	}
	require.NoError(t, json.Unmarshal(raw, &doc))
	if f == document.SPDX {
		return len(doc.Packages) - 1
	}
	return len(doc.Components)
}

func TestLicenseListIsThatOfTheSchema(t *testing.T) {
	t.Parallel()
	var schema struct{ Enum []string }
	require.NoError(t, json.Unmarshal(schemaFile(t, "spdx.schema.json"), &schema))
	list, err := os.ReadFile("licenses.txt")
	require.NoError(t, err)
	require.ElementsMatch(t, schema.Enum, strings.Fields(string(list)))
}

func FuzzDocument(f *testing.F) {
	compiled := schemas(f)
	f.Add("lodash", "pkg:npm/lodash@1", "MIT OR (Apache-2.0)", "CVE-1")
	f.Add("\x00", "pkg:\xff", "((((", "\u202e")
	f.Fuzz(func(t *testing.T, name, id, license, advisory string) {
		inv := &inventory.Inventory{
			Asset:    inventory.Asset{Kind: inventory.Kind(license), Name: name, Digest: advisory},
			Packages: []inventory.Package{{PURL: id, Name: name, Version: license, Locations: []string{name}, DependsOn: []string{name, id}, Licenses: []string{license, advisory}}, {PURL: name, Licenses: []string{license}}},
		}
		found := &match.Result{Findings: []match.Finding{{PURL: id, ID: advisory, Aliases: []string{name}, Vector: license}}}
		for _, format := range formats() {
			encode(t, compiled[format], format, inv, document.Options{Findings: found, Version: license})
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	inv := &inventory.Inventory{Asset: inventory.Asset{Kind: inventory.Directory, Name: "/srv"}, Time: time.Unix(1e9, 0)}
	for i := range 5500 {
		inv.Packages = append(inv.Packages, inventory.Package{
			PURL: fmt.Sprintf("pkg:npm/p%05d@1.0.%d", i, i), Name: fmt.Sprintf("p%05d", i), Version: fmt.Sprintf("1.0.%d", i), Ecosystem: "npm",
			Locations: []string{"package-lock.json"}, DependsOn: []string{fmt.Sprintf("pkg:npm/p%05d@1.0.%d", i/2, i/2)}, Licenses: []string{"MIT"},
		})
	}
	for _, f := range formats() {
		b.Run(string(f), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				raw, err := document.Encode(f, inv, document.Options{})
				require.NoError(b, err)
				b.SetBytes(int64(len(raw)))
			}
		})
	}
}
