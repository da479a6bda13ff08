package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/sbomscanner/match"
)

// The widths of the columns on a terminal, where what does not fit is shortened: the table is for reading, --json is complete.
const (
	defaultScreen = 80
	minCell       = 7
)

// printScan prints the findings and what the scan does not know.
func (a *app) printScan(r *scanReport) {
	a.printFindings(r.Findings, terminalWidth(a.out.w))
	if len(r.Findings) > 0 {
		a.printf("")
	}
	a.printEcosystems(r)
	a.printf("")
	a.printf("%s", findingsLine(r))
	a.printExploited(r.Findings)
	a.printSuppressed(r)
	a.printUnread(r)
	a.printDatabase(r)
	for _, note := range r.Notes {
		a.printf("%s", clean(note))
	}
	if r.Verify != nil {
		a.printf("")
		a.printComparison(r.Verify)
	}
}

// printFindings prints one row for each finding, at most screen columns wide; 0 is no limit.
func (a *app) printFindings(findings []match.Finding, screen int) {
	t := rows{columns: []column{{"SEVERITY", 0}, {"ID", 0}, {"PACKAGE", 0}, {"VERSION", 0}, {"FIXED", 0}, {"LOCATION", 0}}}
	for _, f := range findings {
		t.add(severityWord(f), f.ID, f.Name, f.Version, firstOr(f.Fixed, "-"), location(f.Locations))
	}
	if len(t.cells) == 0 {
		return
	}
	if screen > 0 {
		t.fit(screen)
	}
	a.printTables(t)
}

func severityWord(f match.Finding) string {
	if f.Unknown {
		return "unknown"
	}
	return f.Severity.String()
}

// location returns the first of the files that name a package, and how many more there are.
func location(files []string) string {
	if len(files) < 2 {
		return firstOr(files, "-")
	}
	return fmt.Sprintf("%s +%d", files[0], len(files)-1)
}

func firstOr(list []string, other string) string {
	if len(list) == 0 {
		return other
	}
	return cmp.Or(list[0], other)
}

// fit shortens cells until a row takes at most screen columns, with two between cells. The widest column gives first. What has
// slashes, such as a file or the name of a Go module, keeps its end, which tells more.
func (r *rows) fit(screen int) {
	widths := make([]int, len(r.columns))
	total := 2 * (len(widths) - 1)
	for i, c := range r.columns {
		widths[i] = displayWidth(c.name)
		for j := range r.cells {
			widths[i] = max(widths[i], displayWidth(cell(r.cells[j][i], 0)))
		}
		total += widths[i]
	}
	for ; total > screen; total-- {
		widest := 2 // severities and ids stay whole
		for i := widest + 1; i < len(widths); i++ {
			if widths[i] > widths[widest] {
				widest = i
			}
		}
		if widths[widest] <= minCell {
			break
		}
		widths[widest]--
	}
	for i := range r.columns {
		r.columns[i].most = widths[i]
		for _, cells := range r.cells {
			if strings.Contains(cells[i], "/") {
				cells[i] = keepEnd(clean(cells[i]), widths[i])
			}
		}
	}
}

// keepEnd cuts the start of s, which must be clean, to n columns.
func keepEnd(s string, n int) string {
	if displayWidth(s) <= n {
		return s
	}
	runes := []rune(s)
	at, used := len(runes), 1
	for at > 0 && used+runeWidth(runes[at-1]) <= n {
		at--
		used += runeWidth(runes[at])
	}
	return "…" + string(runes[at:])
}

// printEcosystems prints how many packages of each ecosystem were assessed.
func (a *app) printEcosystems(r *scanReport) {
	t := rows{columns: []column{{"ECOSYSTEM", 24}, {"PACKAGES", 0}, {"FINDINGS", 0}, {"ASSESSED", 48}}}
	for _, e := range r.Ecosystems {
		t.add(e.Name, strconv.Itoa(e.Packages), findingsCell(e), assessedCell(e))
	}
	if len(t.cells) == 0 {
		a.printf("no packages found in %s", clean(r.Asset.Name))
		return
	}
	a.printTables(t)
}

func findingsCell(e ecosystemRow) string {
	if e.Packages > 0 && e.NotAssessed >= e.Packages {
		return "-"
	}
	return strconv.Itoa(e.Findings)
}

func assessedCell(e ecosystemRow) string {
	switch {
	case e.Packages > 0 && e.NotAssessed >= e.Packages:
		return "not assessed: no advisories"
	case e.NotAssessed > 0:
		return fmt.Sprintf("not assessed: %d packages", e.NotAssessed)
	case e.Unreadable > 0:
		return fmt.Sprintf("except %d: version cannot be compared", e.Unreadable)
	}
	return "yes"
}

// findingsLine is the sum of the findings by severity.
func findingsLine(r *scanReport) string {
	counts := map[string]int{}
	packages := map[string]bool{}
	for _, f := range r.Findings {
		counts[severityWord(f)]++
		packages[f.PURL] = true
	}
	line := fmt.Sprintf("findings: %d", len(r.Findings))
	if len(r.Findings) > 0 {
		var parts []string
		for _, word := range []string{"critical", "high", "medium", "low", "info", "unknown"} {
			if counts[word] > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", counts[word], word))
			}
		}
		line += fmt.Sprintf(" in %d packages (%s)", len(packages), strings.Join(parts, ", "))
	}
	if r.BelowMin > 0 {
		line += fmt.Sprintf("; %d below --min-severity are not listed", r.BelowMin)
	}
	return line
}

// printExploited names the findings that are known to be exploited.
func (a *app) printExploited(findings []match.Finding) {
	for _, f := range findings {
		if f.KEV {
			a.printf("known to be exploited (CISA KEV): %s", clean(fmt.Sprintf("%s in %s %s", f.ID, f.Name, f.Version)))
		}
	}
}

func (a *app) printSuppressed(r *scanReport) {
	counts := map[string]int{}
	for _, s := range r.Suppressed {
		counts[s.Status]++
	}
	var parts []string
	for _, status := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[status], strings.ReplaceAll(status, "_", " ")))
	}
	if len(parts) > 0 {
		a.printf("suppressed: %s; --json lists them with their reasons", clean(strings.Join(parts, ", ")))
	}
}

// maxListed is how many files that were not read are listed; --json has more.
const maxListed = 10

// printUnread lists the first files that were not read and counts all by reason.
func (a *app) printUnread(r *scanReport) {
	for _, p := range r.Problems[:min(maxListed, len(r.Problems))] {
		a.printf("not read: %s: %s", cell(cmp.Or(p.Path, r.Asset.Name), 200), cell(p.Reason, 300))
	}
	sum := 0
	var reasons []string
	for _, reason := range slices.Sorted(maps.Keys(r.Skipped)) {
		sum += r.Skipped[reason]
		reasons = append(reasons, fmt.Sprintf("%d %s", r.Skipped[reason], strings.ReplaceAll(reason, "_", " ")))
	}
	if sum > 0 {
		a.printf("not read in all: %s", clean(strings.Join(reasons, ", ")))
	}
}

func (a *app) printDatabase(r *scanReport) {
	d := r.Database
	if d == nil {
		a.printf("%s", a.paint.word("not assessed")+": there is no vulnerability database; run ironpost vulndb update, or import")
		return
	}
	stale := ""
	if d.Stale {
		stale = ", " + a.paint.word("stale") + ": run ironpost vulndb update"
	}
	a.printf("database: %d advisories, %s old%s", d.Advisories, ageText(time.Duration(d.AgeSecs)*time.Second), stale)
}

// ageText returns an age in the largest unit that still tells something.
func ageText(age time.Duration) string {
	switch {
	case age < 2*time.Minute:
		return fmt.Sprintf("%d s", int(age.Seconds()))
	case age < 2*time.Hour:
		return fmt.Sprintf("%d min", int(age.Minutes()))
	case age < 48*time.Hour:
		return fmt.Sprintf("%d h", int(age.Hours()))
	}
	return fmt.Sprintf("%d days", int(age.Hours()/24))
}

// severityFlag reads a severity flag; empty is the lowest one.
func severityFlag(name, text string) (event.Severity, error) {
	if text == "" {
		return event.Info, nil
	}
	s, err := event.ParseSeverity(text)
	if err != nil {
		return s, usageError(fmt.Errorf("--%s: %w", name, err))
	}
	return s, nil
}
