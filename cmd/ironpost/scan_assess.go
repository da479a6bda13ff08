package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/sbomscanner"
	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
	"github.com/ironpost/ironpost/services/sbomscanner/match"
	"github.com/ironpost/ironpost/services/sbomscanner/osvscanner"
	"github.com/ironpost/ironpost/services/sbomscanner/suppression"
)

// assess looks the packages up in the vulnerability database and sorts out what is suppressed or below --min-severity.
func (a *app) assess(ctx context.Context, target scanTarget, inv *inventory.Inventory, f scanFlags) (*scanReport, *match.Result, error) {
	now := time.Now()
	decisions, err := suppression.Load(f.ignore, f.vex, now)
	if err != nil {
		return nil, nil, err
	}
	cfg, store, err := a.openDatabase(f.db)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = store.Close() }() // it was only read
	found, err := match.New(store, match.Options{UnknownSeverity: f.unknown}).Match(ctx, inv)
	if err != nil {
		return nil, nil, err
	}
	var compared *osvscanner.Comparison
	if f.engine != nil {
		if compared, err = verify(ctx, f.engine, store, target, inv, found, f); err != nil {
			return nil, nil, err
		}
	}
	kept, suppressed := suppress(decisions, inv.Asset, found.Findings, now)
	report := newScanReport(inv, found, kept)
	report.Suppressed, report.Verify = suppressed, compared
	report.Database = newDatabaseReport(cfg, store)
	report.leaveOut(f.least)
	report.Complete = len(report.unassessed(nil)) == 0
	for _, e := range decisions.Expired(now) {
		report.Notes = append(report.Notes, fmt.Sprintf("%s: expired on %s: %s", e.Source, e.Expires.UTC().Format(time.DateOnly), e.Reason))
	}
	if damaged := store.Status().Damaged; damaged != "" {
		report.Notes = append(report.Notes, "the newest vulnerability database cannot be read, the previous one was used: "+damaged)
	}
	return report, found, nil
}

// suppress splits findings into those to report and those that somebody decided about.
func suppress(decisions *suppression.List, asset inventory.Asset, findings []match.Finding, now time.Time) (kept []match.Finding, suppressed []suppressedFinding) {
	suppressed = []suppressedFinding{}
	for _, f := range findings {
		names := slices.Concat([]string{f.ID}, f.IDs, f.Aliases)
		s, ok := decisions.Find(suppression.Finding{PURL: f.PURL, Names: names, Asset: asset}, now)
		if ok {
			suppressed = append(suppressed, suppressedFinding{Finding: f, Suppression: s})
			continue
		}
		kept = append(kept, f)
	}
	return kept, suppressed
}

// leaveOut removes findings below least from the list and counts them.
func (r *scanReport) leaveOut(least event.Severity) {
	r.Findings = orEmpty(slices.DeleteFunc(slices.Clone(r.all), func(f match.Finding) bool { return !f.Reaches(least) }))
	r.BelowMin = len(r.all) - len(r.Findings)
}

// newDatabaseReport returns nil if there are no advisories.
func newDatabaseReport(cfg sbomscanner.Config, store *advisory.Store) *databaseReport {
	if store.Empty() {
		return nil
	}
	status := store.Status()
	age := max(0, time.Since(status.Updated()))
	return &databaseReport{
		Path: cfg.VulnDBPath, Generation: status.ID, Updated: status.Updated().UTC(), AgeSecs: int64(age.Seconds()),
		Stale: age > cfg.StaleAfter(), Advisories: status.Records(),
	}
}
