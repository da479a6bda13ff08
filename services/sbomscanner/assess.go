package sbomscanner

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
	"github.com/ironpost/ironpost/services/sbomscanner/finding"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
	"github.com/ironpost/ironpost/services/sbomscanner/match"
	"github.com/ironpost/ironpost/services/sbomscanner/suppression"
)

// unknownIn returns the test for findings that are absent and may still hold: what named the package could not be read in this scan,
// or nothing is known about its ecosystem any more. A package that is gone from what was read is fixed.
func unknownIn(inv *inventory.Inventory, result *match.Result) func(finding.Finding) bool {
	present := make(map[string]bool, len(inv.Packages))
	for _, p := range inv.Packages {
		present[p.PURL] = true
	}
	skipped := 0
	for _, n := range inv.Skipped {
		skipped += n
	}
	return func(f finding.Finding) bool {
		if present[f.PURL] {
			return result.NotAssessed[advisory.Base(f.Ecosystem)] > 0
		}
		if skipped > len(inv.Problems) { // not all are named
			return true
		}
		return slices.ContainsFunc(inv.Problems, func(p inventory.Problem) bool {
			return slices.ContainsFunc(f.Locations, func(location string) bool { return covers(p.Path, location) })
		})
	}
}

// covers reports whether a problem with the file or folder at problem may hide what location names.
func covers(problem, location string) bool {
	problem = path.Clean(problem)
	return problem == "." || location == problem || strings.HasPrefix(location, problem+"/")
}

// ignored returns why a finding of the asset is not reported at the time now, as finding.Observation has it.
func (s *Service) ignored(asset inventory.Asset, now time.Time) func(finding.Finding) string {
	return func(f finding.Finding) string {
		why, found := s.suppressed.Find(suppression.Finding{PURL: f.PURL, Names: f.Names, Asset: asset}, now)
		if !found {
			return ""
		}
		text := why.Status + ": " + why.Reason + " (" + why.Source + ")"
		if !why.Expires.IsZero() {
			text += ", until " + why.Expires.UTC().Format(time.DateOnly)
		}
		return event.Printable(text, 500)
	}
}

// unreadReason says what of an asset could not be read, "" if everything was.
func unreadReason(inv *inventory.Inventory) string {
	if inv.Complete() {
		return ""
	}
	var why []string
	for _, reason := range slices.Sorted(maps.Keys(inv.Skipped)) {
		why = append(why, fmt.Sprintf("%s %d", event.Printable(reason, 64), inv.Skipped[reason]))
	}
	if len(inv.Problems) > 0 {
		p := inv.Problems[0]
		why = append(why, fmt.Sprintf("such as %s: %s", event.Printable(p.Path, maxShown), event.Printable(p.Reason, maxShown)))
	}
	return event.Printable(inv.Asset.Name, maxShown) + " is not read completely: " + strings.Join(why, ", ")
}

// checkDatabase opens a new generation of the database and matches everything with it.
func (l *loop) checkDatabase(ctx context.Context) {
	changed, err := l.database.refresh()
	if err != nil {
		if l.s.reasons.Set(topicDatabase, "the vulnerability database cannot be read: "+event.Printable(err.Error(), 300)) {
			l.s.log.WithError(err).Error("vulnerability database not usable, trying again")
		}
		return
	}
	status := l.database.status()
	if status.Damaged != "" {
		l.s.reasons.Set(topicDatabase, "the previous vulnerability database is in use: "+event.Printable(status.Damaged, 300))
	} else {
		l.s.reasons.Clear(topicDatabase) // also if what could not be read is gone, and the one in use is back
	}
	if !changed {
		return
	}
	if l.database.empty() {
		l.sayEmpty()
		return
	}
	l.said = false
	l.s.reasons.Clear(topicEmpty)
	began := time.Now()
	l.checkAge(began)
	l.assessEverything(ctx)
	l.s.log.WithField("generation", status.ID).WithField("advisories", status.Records()).WithField("packages", l.inventories.Packages()).
		WithField("ms", time.Since(began).Milliseconds()).Info("vulnerability database in use")
}

// sayEmpty reports, once, that nothing can be assessed.
func (l *loop) sayEmpty() {
	l.s.reasons.Set(topicEmpty, advisory.ErrNoAdvisories.Error())
	if !l.said {
		l.said = true
		l.s.log.Warn(advisory.ErrNoAdvisories.Error())
	}
}

// checkAge makes an old database a health reason, and an alert once.
func (l *loop) checkAge(now time.Time) {
	status := l.database.status()
	updated := status.Updated()
	if updated.IsZero() {
		return
	}
	limit := l.s.cfg.StaleAfter()
	var err error
	if now.Sub(updated) < limit {
		l.s.reasons.Clear(topicStale)
		err = l.findings.Fresh()
	} else {
		l.s.reasons.Set(topicStale, fmt.Sprintf("%s, allowed are %s: run ironpost vulndb update, or import one", databaseAge(status, now), shortAge(limit)))
		b := alertBuilder{host: l.s.deps.Host, machine: l.s.deps.MachineID, database: status, now: now}
		err = l.findings.Stale(status.ID+" "+updated.UTC().Format(time.RFC3339Nano), b.stale(limit))
	}
	if err != nil {
		l.s.log.WithError(err).Error("state of the database not saved, trying again")
	}
}

// checkExceptions reports entries of the ignore file that have ended, and has their findings reported again.
func (l *loop) checkExceptions(ctx context.Context, now time.Time) {
	ended := l.s.suppressed.Expired(now)
	if len(ended) == 0 {
		return
	}
	text := fmt.Sprintf("%d entries of the ignore file have ended, their findings are reported again, such as %s (%s)",
		len(ended), ended[0].Source, event.Printable(ended[0].Reason, maxShown))
	if l.s.reasons.Remark(topicExpired, text) {
		l.s.log.WithField("entries", len(ended)).Warn("entries of the ignore file have ended")
		l.assessEverything(ctx)
	}
}
