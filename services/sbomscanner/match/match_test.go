package match_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
	"github.com/ironpost/ironpost/services/sbomscanner/match"
)

// Each line is one entry of an advisory about package "p", and the versions that it includes and does not include.
func TestVersionsAreEvaluatedAsTheSchemaSays(t *testing.T) {
	t.Parallel()
	const introduced, both = `[{"introduced":"0"}]`, `[{"introduced":"1.0.0"},{"fixed":"2.0.0"}]`
	for name, c := range map[string]struct {
		ecosystem, entry        string
		in, out, unreadableText []string
	}{
		"SEMVER": {
			"npm", semver(both),
			[]string{"1.0.0", "v1.9.9", "2.0.0-rc.1", "1.0.0+build"},
			[]string{"0.9.9", "1.0.0-alpha", "2.0.0", "10.0.0"},
			[]string{"", "latest", "^1.2.0", "*", "${version}", strings.Repeat("1", 300)},
		},
		"everything from 0":         {"npm", semver(introduced), []string{"0.0.0-0", "99.0.0"}, nil, nil},
		"events in any order":       {"npm", semver(`[{"fixed":"4.0.0"},{"introduced":"3.0.0"},{"fixed":"2.0.0"},{"introduced":"0"}]`), []string{"1.0.0", "3.5.0"}, []string{"2.5.0", "4.0.0"}, nil},
		"last affected":             {"npm", semver(`[{"introduced":"0"},{"last_affected":"1.2.3"}]`), []string{"1.2.3"}, []string{"1.2.4"}, nil},
		"one version":               {"npm", semver(`[{"last_affected":"1.2.3"},{"introduced":"1.2.3"}]`), []string{"1.2.3"}, []string{"1.2.2", "1.2.4"}, nil},
		"fixed and introduced":      {"npm", semver(`[{"introduced":"1.0.0"},{"introduced":"2.0.0"},{"fixed":"2.0.0"},{"fixed":"3.0.0"}]`), []string{"2.0.0"}, []string{"3.0.0"}, nil},
		"limit":                     {"npm", semver(`[{"introduced":"1.0.0"},{"limit":"2.0.0"}]`), []string{"1.5.0"}, []string{"2.0.0"}, nil},
		"no limit":                  {"npm", semver(`[{"introduced":"1.0.0"},{"limit":"*"}]`), []string{"9.5.0"}, []string{"0.1.0"}, nil},
		"list":                      {"npm", `"versions":["1.0.0","v1.1.0"]`, []string{"1.0.0", "v1.0.0", "1.1.0"}, []string{"1.0.1"}, []string{""}},
		"neither list nor ranges":   {"npm", `"versions":[]`, nil, []string{"1.0.0"}, nil},
		"GIT first":                 {"PyPI", `"ranges":[{"type":"GIT","events":` + introduced + `},{"type":"ECOSYSTEM","events":` + both + `}]`, []string{"1.5", "2.0rc1"}, []string{"2.0", "1.0.dev1"}, []string{"2004d-x"}},
		"commits alone":             {"PyPI", `"ranges":[{"type":"GIT","events":` + introduced + `}]`, nil, nil, []string{"1.0"}},
		"list beside commits":       {"PyPI", `"ranges":[{"type":"GIT","events":` + introduced + `}],"versions":["0.5"]`, []string{"0.5", "0.5.0"}, []string{"0.6"}, nil},
		"one range cannot be read":  {"npm", `"ranges":[{"type":"SEMVER","events":[{"introduced":"main"}]},{"type":"SEMVER","events":` + both + `}]`, []string{"1.5.0"}, nil, []string{"3.0.0"}},
		"SEMVER whatever ecosystem": {"GitHub Actions", semver(both), []string{"1.5.0"}, []string{"2.0.0"}, nil},
		"unknown order":             {"GitHub Actions", ecosystem(both), nil, nil, []string{"1.5.0"}},
		"Debian":                    {"Debian", ecosystem(`[{"introduced":"0"},{"fixed":"1:2.0-3+deb12u1"}]`), []string{"9.0-1", "1:2.0-3", "1:2.0-3~bpo1"}, []string{"1:2.0-3+deb12u1", "2:0.1-1"}, []string{"x:1"}},
		"Alpine":                    {"Alpine", ecosystem(`[{"introduced":"0"},{"fixed":"1.2.3_p1-r2"}]`), []string{"1.2.3-r9", "1.2.3_rc1-r0", "1.2.3_p1-r1"}, []string{"1.2.3_p1-r2", "1.2.4-r0"}, nil},
		"Red Hat":                   {"Red Hat", ecosystem(`[{"introduced":"0"},{"fixed":"0:3.0.7-18.el9_2"}]`), []string{"0:3.0.7-17.el9"}, []string{"0:3.0.7-18.el9_2"}, nil},
		"Maven":                     {"Maven", ecosystem(`[{"introduced":"2.0-beta9"},{"fixed":"2.15.0"}]`), []string{"2.0-rc1", "2.14.1"}, []string{"2.0-beta8", "2.15.0"}, []string{"[1.0,2.0)"}},
		"RubyGems":                  {"RubyGems", ecosystem(`[{"introduced":"0"},{"fixed":"6.1.7.1"}]`), []string{"6.1.7", "6.1.7.1.pre"}, []string{"6.1.7.1"}, nil},
		"Packagist branch":          {"Packagist", ecosystem(both), []string{"v1.5.0"}, []string{"2.0.0"}, []string{"dev-main"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := open(t, record("X-1", c.ecosystem, "p", c.entry))
			for _, v := range c.in {
				r := run(t, f, pkg(c.ecosystem, "p", v))
				require.Len(t, r.Findings, 1, "%q is included", v)
				require.Empty(t, r.Unreadable, v)
			}
			for _, v := range c.out {
				r := run(t, f, pkg(c.ecosystem, "p", v))
				require.Empty(t, r.Findings, "%q is not included", v)
				require.Empty(t, r.Unreadable, v)
			}
			for _, v := range c.unreadableText {
				r := run(t, f, pkg(c.ecosystem, "p", v))
				require.Empty(t, r.Findings, v)
				require.Equal(t, map[string]int{c.ecosystem: 1}, r.Unreadable, "%q is counted", v)
			}
		})
	}
}

func TestPackagesAreNamedAsTheirEcosystemSays(t *testing.T) {
	t.Parallel()
	all := semver(`[{"introduced":"0"},{"fixed":"1.22.0-rc.2"}]`)
	everything := ecosystem(`[{"introduced":"0"}]`)
	source := pkg("Debian:12", "libssl3", "3.0.9-1")
	source.AdvisoryName, source.AdvisoryVersion = "openssl", "3.0.9-2"
	for name, c := range map[string]struct {
		record string
		pkg    inventory.Package
		want   bool
	}{
		"PEP 503":                       {record("X", "PyPI", "Flask_Admin", everything), pkg("PyPI", "flask.-admin", "1.0"), true},
		"go is stdlib":                  {record("X", "Go", "stdlib", all), pkg("Go", "go", "go1.22rc1"), true},
		"stdlib candidate with fix":     {record("X", "Go", "stdlib", all), pkg("Go", "stdlib", "1.22rc2"), false},
		"toolchain is not stdlib":       {record("X", "Go", "stdlib", all), pkg("Go", "toolchain", "1.21.0"), false},
		"other ecosystem":               {record("X", "npm", "p", everything), pkg("PyPI", "p", "1.0"), false},
		"source package":                {record("X", "Debian:12", "openssl", ecosystem(`[{"introduced":"3.0.9-2"}]`)), source, true},
		"release":                       {record("X", "Debian:12", "p", everything), pkg("Debian:12", "p", "1"), true},
		"other release":                 {record("X", "Debian:11", "p", everything), pkg("Debian:12", "p", "1"), false},
		"record of all releases":        {record("X", "Debian", "p", everything), pkg("Debian:12", "p", "1"), true},
		"release not known":             {record("X", "Alpine:v3.20", "p", everything), pkg("Alpine", "p", "1"), true},
		"Ubuntu LTS":                    {record("X", "Ubuntu:22.04:LTS", "p", everything), pkg("Ubuntu:22.04", "p", "1"), true},
		"Ubuntu fixed in Pro only":      {record("X", "Ubuntu:Pro:16.04:LTS", "p", everything), pkg("Ubuntu:16.04:LTS", "p", "1"), true},
		"Ubuntu variant":                {record("X", "Ubuntu:Pro:FIPS:22.04:LTS", "p", everything), pkg("Ubuntu:22.04", "p", "1"), false},
		"Red Hat stream":                {record("X", "Red Hat:enterprise_linux:9::baseos", "p", everything), pkg("Red Hat:enterprise_linux:9::baseos", "p", "1"), true},
		"advisory without this package": {record("X", "Debian:12", "q", everything), pkg("Debian:12", "p", "1"), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// A second record makes every ecosystem one with advisories.
			base, _, _ := strings.Cut(c.pkg.Ecosystem, ":")
			r := run(t, open(t, c.record, record("Y", base, "another", everything)), c.pkg)
			require.Len(t, r.Findings, map[bool]int{true: 1}[c.want])
			require.Empty(t, r.NotAssessed)
		})
	}
}

func TestWhatIsNotKnownIsCounted(t *testing.T) {
	t.Parallel()
	f := open(t, record("X", "npm", "p", semver(`[{"introduced":"0"}]`)))
	r := run(t, f, pkg("npm", "q", "latest"), pkg("Debian:12", "p", "1"), pkg("", "pkg:bitbucket/p", "1"), pkg("npm", "p", "latest"))
	require.Empty(t, r.Findings)
	require.Equal(t, map[string]int{"Debian": 1, "bitbucket": 1}, r.NotAssessed)
	require.Equal(t, map[string]int{"npm": 1}, r.Unreadable, "q has no advisory, so its version does not matter")
}

func TestAliasesAreOneFinding(t *testing.T) {
	t.Parallel()
	everything := semver(`[{"introduced":"0"},{"fixed":"1.4.0"},{"introduced":"2.0.0"},{"fixed":"2.0.4"}]`)
	f := open(t,
		record("GO-2021-1", "Go", "p", everything, `"aliases":["GHSA-a"]`),
		record("GHSA-a", "npm", "p", everything, `"aliases":["CVE-2021-0001"]`, `"summary":"A hole."`, `"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]`),
		record("OTHER-1", "Go", "p", semver(`[{"introduced":"0"},{"fixed":"1.3.0"}]`), `"aliases":["CVE-2021-0001"]`, `"database_specific":{"severity":"LOW"}`),
		record("GO-2021-2", "Go", "p", everything, `"withdrawn":"2021-01-01T00:00:00Z"`),
		record("GO-2021-3", "Go", "p", everything, `"details":"First line.\nSecond line."`),
	)
	p := pkg("Go", "p", "1.2.0")
	p.Locations, p.Groups, p.Layer = []string{"go.mod"}, []string{"dev"}, "sha256:1"
	r := run(t, f, p)
	require.Equal(t, []match.Finding{{
		PURL: "pkg:x/p@1.2.0", Name: "p", Version: "1.2.0", Ecosystem: "Go", Locations: p.Locations, Groups: p.Groups, Layer: p.Layer,
		ID: "CVE-2021-0001", IDs: []string{"GO-2021-1", "OTHER-1"}, Aliases: []string{"GHSA-a"}, Summary: "A hole.",
		Severity: event.Critical, Score: 9.8, Vector: "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", From: "GHSA-a",
		Fixed: []string{"1.4.0", "2.0.4"}, KEV: true, EPSS: 0.93,
	}, {
		PURL: "pkg:x/p@1.2.0", Name: "p", Version: "1.2.0", Ecosystem: "Go", Locations: p.Locations, Groups: p.Groups, Layer: p.Layer,
		ID: "GO-2021-3", IDs: []string{"GO-2021-3"}, Summary: "First line.", Severity: event.Medium, Unknown: true,
		Fixed: []string{"1.4.0", "2.0.4"},
	}}, r.Findings)
	require.True(t, r.Findings[1].Reaches(event.Medium))
	require.False(t, r.Findings[1].Reaches(event.High))
	r.Findings[0].Severity = event.Low
	require.True(t, r.Findings[0].Reaches(event.Critical), "known to be exploited")

	high, err := match.New(f, match.Options{UnknownSeverity: event.High}).Match(t.Context(), &inventory.Inventory{Packages: []inventory.Package{p}})
	require.NoError(t, err)
	require.Equal(t, event.High, high.Findings[1].Severity)
}

// A kernel has thousands of advisories, and anyone's document can name it.
func TestTimeGrowsInProportionToTheAdvisoriesOfAPackage(t *testing.T) {
	t.Parallel()
	const few, many = 750, 3000
	least := map[int]time.Duration{few: time.Hour, many: time.Hour}
	stores := map[int]*advisory.Store{few: kernelAdvisories(t, few), many: kernelAdvisories(t, many)}
	for range 3 {
		for n, store := range stores {
			began := time.Now()
			require.Len(t, run(t, store, pkg("Debian:12", "linux", "1")).Findings, n)
			least[n] = min(least[n], time.Since(began))
		}
	}
	require.Less(t, least[many], 10*least[few], "4 times the advisories: 16 times the time if it grows by the square")
}

// kernelAdvisories returns a store with n advisories of linux in Debian 12, each about a CVE of its own.
func kernelAdvisories(t *testing.T, n int) *advisory.Store {
	t.Helper()
	var records []string
	for i := range n {
		records = append(records, record(fmt.Sprintf("DEBIAN-CVE-2024-%d", i), "Debian:12", "linux", ecosystem(`[{"introduced":"0"}]`), fmt.Sprintf(`"upstream":["CVE-2024-%d"]`, i)))
	}
	return open(t, records...)
}

func TestOneFolderCannotUseUpTheFindings(t *testing.T) {
	t.Parallel()
	var records []string
	for i := range 1000 {
		records = append(records, record(fmt.Sprintf("A-%d", i), "npm", "p", semver(`[{"introduced":"0"}]`)))
	}
	store := open(t, append(records, record("B", "npm", "q", semver(`[{"introduced":"0"}]`)))...)
	var packages []inventory.Package
	for i := range 500 {
		p := pkg("npm", "p", fmt.Sprintf("1.0.%d", i))
		p.Locations = []string{"home/mallory/a.cdx.json"}
		packages = append(packages, p)
	}
	victim := pkg("npm", "q", "1.0.0")
	victim.Locations = []string{"home/mallory/a.cdx.json", "srv/package-lock.json"}
	packages = append(packages, victim)
	r := run(t, store, packages...)
	require.Less(t, len(r.Findings), 100_000)
	require.Equal(t, "B", r.Findings[len(r.Findings)-1].ID)
	require.Positive(t, r.NotAssessed["npm"], "it is said")
}

func TestAdvisoriesOfDistributions(t *testing.T) {
	t.Parallel()
	old := ecosystem(`[{"introduced":"0"},{"fixed":"2"}]`)
	records := []string{
		record("DSA-1", "Debian:12", "p", old, `"upstream":["CVE-2021-0001","CVE-2021-0002"]`),
		record("DEBIAN-CVE-2021-0001", "Debian:12", "p", old+`,"ecosystem_specific":{"urgency":"low"}`, `"upstream":["CVE-2021-0001"]`),
		record("CVE-2021-0002", "npm", "p", old, `"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:N"}]`),
	}
	r := run(t, open(t, records...), pkg("Debian:12", "p", "1"))
	require.Len(t, r.Findings, 2)
	require.Equal(t, "CVE-2021-0001", r.Findings[0].ID)
	require.Equal(t, event.Low, r.Findings[0].Severity)
	require.Equal(t, "DSA-1", r.Findings[1].ID, "not every vulnerability of it is a finding of its own")
	require.Equal(t, []string{"CVE-2021-0001", "CVE-2021-0002"}, r.Findings[1].Aliases)
	require.Equal(t, event.Critical, r.Findings[1].Severity)
	require.Equal(t, "CVE-2021-0002", r.Findings[1].From)
	require.True(t, r.Findings[1].KEV)

	records = append(records, record("DEBIAN-CVE-2021-0002", "Debian:12", "p", old))
	r = run(t, open(t, records...), pkg("Debian:12", "p", "1"))
	require.Len(t, r.Findings, 2)
	require.Equal(t, []string{"DEBIAN-CVE-2021-0001", "DSA-1"}, r.Findings[0].IDs)
	require.Equal(t, []string{"DEBIAN-CVE-2021-0002", "DSA-1"}, r.Findings[1].IDs)
	require.False(t, r.Findings[1].KEV, "another vulnerability of the same advisory is")
	require.Equal(t, event.Critical, r.Findings[1].Severity)
}

func TestFixedVersions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ first, second, want string }{
		"every advisory agrees":             {`[{"introduced":"0"},{"fixed":"1.3.0"}]`, `[{"introduced":"0"},{"fixed":"1.5.0"}]`, "1.5.0"},
		"introduced again between":          {`[{"introduced":"0"},{"fixed":"1.3.0"},{"introduced":"1.4.0"},{"fixed":"1.6.0"}]`, `[{"introduced":"0"},{"fixed":"1.5.0"}]`, "1.6.0"},
		"one advisory knows no fix":         {`[{"introduced":"0"},{"fixed":"1.3.0"}]`, `[{"introduced":"0"}]`, "1.3.0"},
		"no fix":                            {`[{"introduced":"0"}]`, `[{"introduced":"0"}]`, ""},
		"one fix per branch, nearest first": {`[{"introduced":"2.0.0"},{"fixed":"2.0.10"},{"introduced":"0"},{"fixed":"1.2.9"}]`, `[{"introduced":"0"},{"fixed":"1.2.9"}]`, "1.2.9 2.0.10"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run(t, open(t, record("A", "npm", "p", semver(c.first), `"aliases":["B"]`), record("B", "npm", "p", semver(c.second))), pkg("npm", "p", "1.2.0"))
			require.Len(t, r.Findings, 1)
			require.Equal(t, strings.Fields(c.want), append([]string{}, r.Findings[0].Fixed...))
		})
	}
}

func record(id, ecosystem, name, entry string, fields ...string) string {
	fields = append([]string{fmt.Sprintf(`"id":%q,"modified":"2021-01-01T00:00:00Z"`, id)}, fields...)
	fields = append(fields, fmt.Sprintf(`"affected":[{"package":{"ecosystem":%q,"name":%q},%s}]`, ecosystem, name, entry))
	return "{" + strings.Join(fields, ",") + "}"
}

func semver(events string) string { return `"ranges":[{"type":"SEMVER","events":` + events + `}]` }
func ecosystem(events string) string {
	return `"ranges":[{"type":"ECOSYSTEM","events":` + events + `}]`
}

func pkg(ecosystem, name, version string) inventory.Package {
	purl := "pkg:x/" + name + "@" + version
	if strings.HasPrefix(name, "pkg:") {
		purl = name
	}
	return inventory.Package{PURL: purl, Name: name, Version: version, Ecosystem: ecosystem}
}
