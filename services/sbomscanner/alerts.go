package sbomscanner

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
	"github.com/ironpost/ironpost/services/sbomscanner/finding"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// The rules of this module's alerts.
const (
	ruleDigest = "sbom_new_findings"
	ruleAlone  = "sbom_vulnerability"
	ruleStale  = "sbom_database_stale"
)

// The titles of the rules.
const (
	titleDigest = "New vulnerabilities"
	titleAlone  = "Vulnerability"
	titleStale  = "Vulnerability database out of date"
)

// RuleNames returns the ids and titles of the rules of this module's alerts.
func RuleNames() []string {
	return []string{ruleDigest, titleDigest, ruleAlone, titleAlone, ruleStale, titleStale}
}

// maxAlone is how many findings of one scan have an alert of their own; the digest counts the others.
const maxAlone = 100

// maxContainers is how many containers of an image an alert names.
const maxContainers = 20

// maxShown bounds a name in a text, in bytes.
const maxShown = 200

// alertBuilder makes the alerts of one machine. The id of an alert follows from the findings and how often they were reported, so
// the same news has the same id, however often it is published.
type alertBuilder struct {
	host, machine string
	database      advisory.Status
	now           time.Time
}

// fromReport returns the alerts about the news of one asset: the digest, then those about single findings.
func (b alertBuilder) fromReport(r finding.Report) []*event.Alert {
	var out []*event.Alert
	if len(r.Digest) > 0 {
		out = append(out, b.digest(r))
	}
	for _, f := range finding.Fair(r.Alone, maxAlone) {
		out = append(out, b.alone(r.Asset.Asset, f))
	}
	return out
}

func (b alertBuilder) digest(r finding.Report) *event.Alert {
	parts := []string{b.machine, ruleDigest, r.Asset.Key()}
	worst, reopened := event.Info, 0
	for _, f := range r.Digest {
		parts = append(parts, f.Key, strconv.Itoa(f.Generation), strconv.FormatInt(f.FirstSeen.UnixNano(), 10))
		worst = max(worst, f.Severity)
		if f.Again {
			reopened++
		}
	}
	a := b.alert(event.ID(parts...), ruleDigest, titleDigest, worst, r.Asset.Asset)
	name := event.Printable(r.Asset.Name, maxShown)
	a.Title = fmt.Sprintf("%s in %s", counted(len(r.Digest)-reopened, reopened), name)
	a.Description = b.describe(r)
	a.DedupKey = ruleDigest + "|" + r.Asset.Key()
	a.Matched = append(a.Matched, event.Matched{Field: "findings", Value: strconv.Itoa(len(r.Digest)), Why: "new since the scan before"})
	for _, f := range finding.Fair(r.Digest, event.MaxFindings) {
		a.Findings = append(a.Findings, eventFinding(f))
	}
	return a
}

// counted says how many findings are new and how many are there again.
func counted(fresh, reopened int) string {
	plural := func(n int) string {
		if n == 1 {
			return "vulnerability"
		}
		return "vulnerabilities"
	}
	switch {
	case reopened == 0:
		return fmt.Sprintf("%d new %s", fresh, plural(fresh))
	case fresh == 0:
		return fmt.Sprintf("%d reopened %s", reopened, plural(reopened))
	}
	return fmt.Sprintf("%d new and %d reopened vulnerabilities", fresh, reopened)
}

// describe says how severe the findings are, what was not assessed, how old the database is, and where the rest is shown.
func (b alertBuilder) describe(r finding.Report) string {
	var bySeverity [event.Critical + 1]int
	kev := 0
	for _, f := range r.Digest {
		bySeverity[f.Severity]++
		if f.KEV {
			kev++
		}
	}
	var counts []string
	for severity, n := range slices.Backward(bySeverity[:]) {
		if n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, event.Severity(severity)))
		}
	}
	text := strings.Join(counts, ", ")
	if kev > 0 {
		text += fmt.Sprintf("; %d known to be exploited", kev)
	}
	if n := len(r.Digest); n > event.MaxFindings {
		text += fmt.Sprintf("; %d of %d are listed, the worst of each folder", event.MaxFindings, n)
	}
	if n := len(r.Alone); n > maxAlone {
		text += fmt.Sprintf("; %d of %d have an alert of their own", maxAlone, n)
	}
	if missing := notAssessed(r.Asset.NotAssessed); missing != "" {
		text += ". Not assessed: " + missing
	}
	text += ". " + databaseAge(b.database, b.now)
	return text + fmt.Sprintf(". All findings: ironpost sbom findings %q", event.Printable(r.Asset.Name, maxShown))
}

// notAssessed says how many packages of which ecosystems have no advisories, "" for none.
func notAssessed(packages map[string]int) string {
	var parts []string
	for _, ecosystem := range sortedKeys(packages) {
		if len(parts) == 10 {
			parts = append(parts, fmt.Sprintf("and %d other ecosystems", len(packages)-10))
			break
		}
		parts = append(parts, fmt.Sprintf("%d packages of %s", packages[ecosystem], event.Printable(ecosystem, 64)))
	}
	return strings.Join(parts, ", ")
}

// databaseAge says how old the database is.
func databaseAge(s advisory.Status, now time.Time) string {
	updated := s.Updated()
	if updated.IsZero() {
		return "The vulnerability database is empty"
	}
	return fmt.Sprintf("The vulnerability database was current %s ago", shortAge(now.Sub(updated)))
}

// shortAge formats an age in hours, or in days from three on.
func shortAge(d time.Duration) string {
	d = max(d, 0)
	if d >= minStale {
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
	return fmt.Sprintf("%d h", d/time.Hour)
}

func (b alertBuilder) alone(asset inventory.Asset, f finding.Finding) *event.Alert {
	id := event.ID(b.machine, ruleAlone, f.Key, strconv.Itoa(f.Generation), strconv.FormatInt(f.FirstSeen.UnixNano(), 10))
	a := b.alert(id, ruleAlone, titleAlone, f.Severity, asset)
	what := f.Severity.String()
	if f.KEV {
		what += ", known to be exploited"
	}
	a.Title = fmt.Sprintf("%s in %s %s (%s)", event.Printable(f.ID, 64), event.Printable(f.Name, maxShown), event.Printable(f.Version, 64), what)
	a.Description = event.Printable(f.Summary, maxShown)
	if len(f.Fixed) > 0 {
		a.Description += ". Fixed in " + event.Printable(f.Fixed[0], 64)
	}
	a.Description += ". " + databaseAge(b.database, b.now)
	a.DedupKey = ruleAlone + "|" + f.Key
	a.Rule.Tags = cveTags(f.Names)
	a.Vulnerability = &event.Vulnerability{
		ID: f.ID, Aliases: others(f.Names, f.ID), Severity: f.Severity, SeverityUnknown: f.Unknown, Score: f.Score, Vector: f.Vector,
		KEV: f.KEV, EPSS: f.EPSS, Fixed: first(f.Fixed), Summary: f.Summary,
	}
	a.Findings = []event.Finding{eventFinding(f)}
	return a
}

// stale returns the alert that the database is out of date.
func (b alertBuilder) stale(limit time.Duration) *event.Alert {
	updated := b.database.Updated()
	id := event.ID(b.machine, ruleStale, b.database.ID, strconv.FormatInt(updated.UnixNano(), 10))
	a := b.alert(id, ruleStale, titleStale, event.Medium, inventory.Asset{Kind: "database", Name: "vulnerability database"})
	a.Title = "The vulnerability database is out of date"
	a.Description = fmt.Sprintf("%s, allowed are %s: later advisories are not known. Run: ironpost vulndb update, or import one.", databaseAge(b.database, b.now), shortAge(limit))
	a.DedupKey = ruleStale
	a.Matched = nil
	return a
}

// alert returns an alert with what all alerts have.
func (b alertBuilder) alert(id, rule, title string, severity event.Severity, asset inventory.Asset) *event.Alert {
	now := b.now.UTC()
	a := &event.Alert{
		ID: id, Schema: event.Schema, TraceID: event.ID("trace", id), Time: now, FirstSeen: now, LastSeen: now, Count: 1,
		Module: Name, Host: b.host, Severity: severity, Rule: event.Rule{ID: rule, Title: title, Level: severity},
		Matched: []event.Matched{{Field: string(asset.Kind), Value: event.Printable(asset.Name, maxShown), Why: "what was scanned"}},
	}
	a.Origin, a.Trust = &event.Origin{Transport: event.TransportScan, Source: event.Printable(asset.Name, maxShown)}, event.TrustUnproven
	if asset.Kind == inventory.Image {
		a.Trust = event.TrustContainer
	}
	if asset.Digest != "" {
		a.Matched = append(a.Matched, event.Matched{Field: "digest", Value: asset.Digest, Why: "what was scanned"})
	}
	for i, c := range asset.Containers {
		if i == 0 {
			a.Container = &c
			continue
		}
		if i == maxContainers {
			break
		}
		a.Matched = append(a.Matched, event.Matched{Field: "container", Value: c.ID + " " + c.Name, Why: "runs the same image"})
	}
	return a
}

func eventFinding(f finding.Finding) event.Finding {
	return event.Finding{
		PURL: f.PURL, Version: f.Version, Fixed: first(f.Fixed), Location: first(f.Locations), ID: f.ID, Aliases: others(f.Names, f.ID),
		Severity: f.Severity, SeverityUnknown: f.Unknown, Score: f.Score, KEV: f.KEV, Reopened: f.Again,
	}
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// others returns the names that are not id.
func others(names []string, id string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == id })
}

// cveTags returns the CVEs among names as Sigma tags, such as cve.2021-44228.
func cveTags(names []string) []string {
	var out []string
	for _, name := range names {
		if number, is := strings.CutPrefix(name, "CVE-"); is {
			out = append(out, "cve."+number)
		}
	}
	return out
}
