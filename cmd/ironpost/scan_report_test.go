package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
	"github.com/ironpost/ironpost/services/sbomscanner/match"
	"github.com/ironpost/ironpost/services/sbomscanner/osvscanner"
	"github.com/ironpost/ironpost/services/sbomscanner/suppression"
)

// hostileName is what an attacker may call a package or a file.
const hostileName = "evil\x1b]0;pwned\a\u202e\n[x](https://evil.example){0}"

// scanned is a report with everything that a report may have.
func scanned() *scanReport {
	lodash := match.Finding{
		PURL: "pkg:npm/lodash@4.17.15", Name: "lodash", Version: "4.17.15", Ecosystem: "npm",
		Locations: []string{"services/frontend/application/package-lock.json", "b/package-lock.json"}, Groups: []string{"dev"},
		ID: "CVE-2020-8203", IDs: []string{"GHSA-p6mc-m468-83gw"}, Aliases: []string{"GHSA-p6mc-m468-83gw"},
		Summary: "Prototype pollution", Severity: event.High, Score: 7.4, Vector: "CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:N/I:H/A:H",
		From: "GHSA-p6mc-m468-83gw", Fixed: []string{"4.17.19"}, EPSS: 0.02,
	}
	exploited := lodash
	exploited.ID, exploited.Severity, exploited.Score, exploited.KEV = "CVE-2021-44228", event.Medium, 0, true
	hostile := match.Finding{
		PURL: "pkg:pypi/evil@1", Name: hostileName, Version: hostileName, Ecosystem: "PyPI", Locations: []string{hostileName},
		ID: "PYSEC-2024-1", IDs: []string{"PYSEC-2024-1"}, Summary: hostileName, Severity: event.Medium, Unknown: true,
	}
	r := &scanReport{
		Schema: 1, Version: "v1.2.3", Time: began,
		Asset:      inventory.Asset{Kind: inventory.Directory, Name: "/srv/app"},
		Ecosystems: []ecosystemRow{{Name: "Hex", Packages: 2, NotAssessed: 2}, {Name: "PyPI", Packages: 1, Unreadable: 1, Findings: 1}, {Name: "npm", Packages: 9, Findings: 2}},
		Findings:   []match.Finding{exploited, lodash, hostile},
		Suppressed: []suppressedFinding{{Finding: lodash, Suppression: suppression.Suppression{Source: "ignore.toml:1:1", Status: "ignored", Reason: "not reachable", Expires: began}}},
		BelowMin:   3,
		Problems:   []inventory.Problem{{Path: hostileName, Reason: "not JSON"}},
		Skipped:    map[string]int{"too_large": 2},
		Database:   &databaseReport{Path: "/var/lib/ironpost/vuln-db", Generation: "g1", Updated: began, AgeSecs: 8 * 86400, Stale: true, Advisories: 12},
		Notes:      []string{"ignore.toml:3:1: expired"},
		Verify:     &osvscanner.Comparison{Engine: "osv-scanner v2.5.1", Common: 2, Differences: []osvscanner.Difference{{PURL: "pkg:npm/a@1", ID: "CVE-2020-1", OnlyIn: osvscanner.Ironpost, Reason: osvscanner.GitFirst}}},
	}
	r.all = r.Findings
	return r
}

// conforms checks a JSON document against a JSON Schema.
func conforms(t *testing.T, schema, document string) {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	compiled, err := compiler.Compile(schema)
	require.NoError(t, err)
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(document))
	require.NoError(t, err, document)
	require.NoError(t, compiled.Validate(value))
}

// printed returns what show prints.
func printed(show func(*app)) string {
	var out bytes.Buffer
	show(&app{out: &output{w: &out}, err: &out, utc: true})
	return out.String()
}

func TestScanReportConformsToItsSchema(t *testing.T) {
	t.Parallel()
	const schema = "../../docs/scan-report.schema.json"
	conforms(t, schema, printed(func(a *app) { _ = a.printJSON(scanned()) }))
	empty := newScanReport(&inventory.Inventory{Asset: inventory.Asset{Kind: inventory.Directory, Name: "/"}}, &match.Result{}, nil)
	conforms(t, schema, printed(func(a *app) { _ = a.printJSON(empty) }))
}

func TestSARIFConformsToItsSchema(t *testing.T) {
	t.Parallel()
	const schema = "testdata/sarif-schema-2.1.0.json"
	text := printed(func(a *app) { _ = a.printJSON(scanned().sarif()) })
	conforms(t, schema, text)
	var log sarifLog
	require.NoError(t, json.Unmarshal([]byte(text), &log))
	run := log.Runs[0]
	require.Len(t, run.Tool.Driver.Rules, 3)
	require.Len(t, run.Results, 7, "one for each file that names the package")
	require.Equal(t, "4.0", run.Tool.Driver.Rules[0].Properties["security-severity"], "the lowest score of a severity without one")
	require.Equal(t, "7.4", run.Tool.Driver.Rules[1].Properties["security-severity"])
	require.NotContains(t, run.Tool.Driver.Rules[2].Properties, "security-severity", "unknown is not low")
	require.Equal(t, []string{"error", "error", "warning"}, []string{run.Results[0].Level, run.Results[2].Level, run.Results[4].Level})
	require.Equal(t, "%SRCROOT%", run.Results[0].Locations[0].Physical.Artifact.Base)
	require.Equal(t, "services/frontend/application/package-lock.json", run.Results[0].Locations[0].Physical.Artifact.URI)
	require.Equal(t, "external", run.Results[5].Suppressions[0].Kind)
	require.False(t, run.Invocations[0].Successful, "an incomplete scan does not look like a complete one")
	require.Contains(t, text, "not assessed: 2 packages of Hex")
	require.Contains(t, run.Results[4].Message.Text, `\[x\](https://evil.example){{0}}`, "a name is no link and no placeholder")
	require.Equal(t, text, printed(func(a *app) { _ = a.printJSON(scanned().sarif()) }))
}

func TestScanTableFits80ColumnsAndEscapes(t *testing.T) {
	t.Parallel()
	text := printed(func(a *app) { a.printFindings(scanned().Findings, defaultScreen) })
	for line := range strings.Lines(text) {
		require.LessOrEqual(t, displayWidth(strings.TrimSuffix(line, "\n")), defaultScreen, line)
	}
	require.Contains(t, text, "lock.json +1", "the end of a long path is kept")
	require.Equal(t, 4, strings.Count(text, "\n"), text)
	text = printed(func(a *app) { a.printScan(scanned()) })
	for _, r := range text {
		require.True(t, r == '\n' || !unprintable(r), "%q", text)
	}
	for _, says := range []string{
		"findings: 3 in 2 packages (1 high, 1 medium, 1 unknown); 3 below --min-severity are not listed",
		"known to be exploited (CISA KEV): CVE-2021-44228 in lodash 4.17.15",
		"suppressed: 1 ignored", "not assessed: no advisories", "except 1: version cannot be compared",
		"not read in all: 2 too large", "database: 12 advisories, 8 days old, stale", "ignore.toml:3:1: expired",
		"second engine, osv-scanner v2.5.1: 2 found by both, 1 by one only, 0 of them not explained", "first range is one of commits",
	} {
		require.Contains(t, text, says)
	}
	none := scanned()
	none.Database = nil
	require.Contains(t, printed(func(a *app) { a.printScan(none) }), "not assessed: there is no vulnerability database")
}

// What is known to be exploited counts at every severity; what is not known is never taken for nothing.
func TestFailOnCountsWhatMatters(t *testing.T) {
	t.Parallel()
	r := scanned()
	require.Equal(t, 2, r.failing(event.High))
	require.Equal(t, 1, r.failing(event.Critical))
	require.Equal(t, []string{"Hex", "files", "versions"}, r.unassessed(nil))
	require.Equal(t, []string{"versions"}, r.unassessed([]string{"hex", "files"}))
	require.Empty(t, r.unassessed([]string{"all"}))
	r.Database = nil
	require.Contains(t, r.unassessed(nil), "database")
}
