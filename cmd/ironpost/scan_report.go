package main

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/cmd/internal/suite"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
	"github.com/ironpost/ironpost/services/sbomscanner/match"
	"github.com/ironpost/ironpost/services/sbomscanner/osvscanner"
	"github.com/ironpost/ironpost/services/sbomscanner/suppression"
)

// scanReport is the --json of scan; docs/scan-report.schema.json describes it.
type scanReport struct {
	Schema  int       `json:"schema"`
	Version string    `json:"version"` // of this program
	Time    time.Time `json:"time"`

	Asset      inventory.Asset     `json:"asset"`
	Complete   bool                `json:"complete"` // everything was read, compared and assessed
	Ecosystems []ecosystemRow      `json:"ecosystems"`
	Findings   []match.Finding     `json:"findings"`   // the worst first, without those below --min-severity
	Suppressed []suppressedFinding `json:"suppressed"` // by the ignore file or OpenVEX
	BelowMin   int                 `json:"below_min_severity"`

	Problems []inventory.Problem `json:"problems"`
	Skipped  map[string]int      `json:"skipped"` // files that were not read, by reason

	Database *databaseReport        `json:"database"` // null: there is none
	Notes    []string               `json:"notes"`
	Verify   *osvscanner.Comparison `json:"verify,omitempty"`

	all []match.Finding // also those below --min-severity
}

// ecosystemRow counts the packages of one ecosystem, or of one package URL type that has no
// ecosystem in OSV.
type ecosystemRow struct {
	Name        string `json:"name"`
	Packages    int    `json:"packages"`
	NotAssessed int    `json:"not_assessed"` // without advisories: nothing is known about them
	Unreadable  int    `json:"unreadable"`   // a version could not be compared
	Findings    int    `json:"findings"`     // before --min-severity, suppressed ones left out
}

// suppressedFinding is a finding that an operator decided about.
type suppressedFinding struct {
	match.Finding
	suppression.Suppression
}

// databaseReport says how old the vulnerability database is.
type databaseReport struct {
	Path       string    `json:"path"`
	Generation string    `json:"generation"`
	Updated    time.Time `json:"updated"`
	AgeSecs    int64     `json:"age_secs"`
	Stale      bool      `json:"stale"`
	Advisories int       `json:"advisories"`
}

// ecosystemRows counts packages and findings by ecosystem.
func ecosystemRows(inv *inventory.Inventory, found *match.Result, findings []match.Finding) []ecosystemRow {
	byName := map[string]*ecosystemRow{}
	row := func(name string) *ecosystemRow {
		if byName[name] == nil {
			byName[name] = &ecosystemRow{Name: name}
		}
		return byName[name]
	}
	for _, p := range inv.Packages {
		row(ecosystemName(p.Ecosystem, p.PURL)).Packages++
	}
	for name, n := range found.NotAssessed {
		row(name).NotAssessed += n
	}
	for name, n := range found.Unreadable {
		row(name).Unreadable += n
	}
	for _, f := range findings {
		row(ecosystemName(f.Ecosystem, f.PURL)).Findings++
	}
	rows := make([]ecosystemRow, 0, len(byName))
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		rows = append(rows, *byName[name])
	}
	return rows
}

// ecosystemName returns the ecosystem without its suffix, as the matcher counts: Debian for Debian:12. Where OSV has no ecosystem it
// is the type of the package URL: generic for pkg:generic/zlib@1.
func ecosystemName(ecosystem, purl string) string {
	if base, _, _ := strings.Cut(ecosystem, ":"); base != "" {
		return base
	}
	kind, _, _ := strings.Cut(strings.TrimPrefix(purl, "pkg:"), "/")
	return cmp.Or(kind, "unknown")
}

// sortFindings puts the worst first: what is known to be exploited, then by severity and score.
func sortFindings(findings []match.Finding) {
	slices.SortStableFunc(findings, func(a, b match.Finding) int {
		return cmp.Or(
			cmp.Compare(rank(b), rank(a)),
			cmp.Compare(b.Score, a.Score), cmp.Compare(a.PURL, b.PURL), cmp.Compare(a.ID, b.ID))
	})
}

func rank(f match.Finding) int {
	if f.KEV {
		return int(event.Critical) + 1
	}
	return int(f.Severity)
}

// failing counts the findings that --fail-on is about.
func (r *scanReport) failing(least event.Severity) int {
	n := 0
	for _, f := range r.all {
		if f.Reaches(least) {
			n++
		}
	}
	return n
}

// The kinds of what a scan does not know, as --allow-unassessed names them beside ecosystems.
const (
	unreadFiles     = "files"
	unreadVersions  = "versions"
	missingDatabase = "database"
	everything      = "all"
)

// unassessed returns what the scan knows nothing about and allowed does not name: ecosystems
// without advisories, "files", "versions", "database". Empty means that the findings are complete.
func (r *scanReport) unassessed(allowed []string) []string {
	missing := map[string]bool{
		unreadFiles:     len(r.Problems) > 0 || len(r.Skipped) > 0,
		missingDatabase: r.Database == nil,
	}
	for _, e := range r.Ecosystems {
		missing[e.Name] = e.NotAssessed > 0 && r.Database != nil
		missing[unreadVersions] = missing[unreadVersions] || e.Unreadable > 0
	}
	maps.DeleteFunc(missing, func(what string, is bool) bool {
		return !is || slices.ContainsFunc(allowed, func(a string) bool { return a == everything || strings.EqualFold(a, what) })
	})
	return slices.Sorted(maps.Keys(missing))
}

// newScanReport returns the report about inv with findings, those of found that are not suppressed.
func newScanReport(inv *inventory.Inventory, found *match.Result, findings []match.Finding) *scanReport {
	sortFindings(findings)
	counts := inv.Skipped
	if counts == nil {
		counts = map[string]int{}
	}
	return &scanReport{
		Schema: 1, Version: suite.Version(), Time: time.Now().UTC().Truncate(time.Second), Asset: inv.Asset,
		Ecosystems: ecosystemRows(inv, found, findings), Findings: orEmpty(findings), all: findings, Suppressed: []suppressedFinding{},
		Problems: orEmpty(inv.Problems), Skipped: counts, Notes: []string{},
	}
}
