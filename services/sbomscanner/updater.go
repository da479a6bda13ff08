package sbomscanner

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ironpost/ironpost/internal/backoff"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
	"github.com/ironpost/ironpost/services/sbomscanner/finding"
)

const (
	firstUpdateRetry = time.Minute
	lastUpdateRetry  = time.Hour
	updateCheck      = 15 * time.Second
)

// updater downloads the database. The loop finds the new one by itself.
type updater struct {
	s *Service

	mu         sync.Mutex // guards ecosystems
	ecosystems []string   // of the packages that were found
}

func newUpdater(s *Service) *updater { return &updater{s: s} }

// installed takes the ecosystems of the packages that were found.
func (u *updater) installed(all *finding.Inventories) {
	found := map[string]bool{}
	for _, key := range all.Keys() {
		for _, p := range all.Get(key).Packages {
			if p.Ecosystem != "" {
				found[advisory.Base(p.Ecosystem)] = true
			}
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ecosystems = sortedKeys(found)
}

// wanted returns the ecosystems to download.
func (u *updater) wanted() []string {
	if len(u.s.cfg.Ecosystems) > 0 {
		return slices.Clone(u.s.cfg.Ecosystems)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.ecosystems)
}

// kept returns the ecosystems that were found and downloaded once, and are not found any more: else they would make the database
// out of date, for as long as it has them.
func (u *updater) kept(status advisory.Status) []string {
	var out []string
	for _, c := range status.Ecosystems {
		if len(u.s.cfg.Ecosystems) == 0 && strings.HasPrefix(c.Source, strings.TrimSuffix(u.s.cfg.VulnDBURL, "/")+"/") {
			out = append(out, c.Ecosystem)
		}
	}
	return out
}

// all returns the ecosystems to download, and those to keep.
func (u *updater) all() []string {
	wanted := u.wanted()
	store, err := advisory.Open(u.s.cfg.VulnDBPath)
	if err != nil {
		return wanted
	}
	defer func() { _ = store.Close() }() // only read
	return append(wanted, u.kept(store.Status())...)
}

// run downloads whenever an update is due, until ctx ends. Without a URL it does nothing.
func (u *updater) run(ctx context.Context) error {
	if u.s.cfg.VulnDBURL == "" {
		return nil
	}
	select { // the ecosystems are known then
	case <-ctx.Done():
		return nil
	case <-u.s.reasons.WhenStarted():
	}
	failures, notBefore := 0, time.Time{}
	for ctx.Err() == nil {
		if now := time.Now(); now.Before(notBefore) || !u.due(now) {
			task.Pause(ctx, updateCheck)
			continue
		}
		err := u.update(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			notBefore = time.Now().Add(backoff.Delay(failures, firstUpdateRetry, lastUpdateRetry))
			failures++
			u.s.updateErrors.Add(1)
			u.s.reasons.Set(topicUpdate, "the vulnerability database is not updated: "+err.Error())
			u.s.log.WithError(err).WithField("again", notBefore.UTC()).Error("vulnerability database not updated, trying again")
		default:
			failures = 0
			notBefore = time.Now().Add(backoff.Delay(0, lastUpdateRetry, lastUpdateRetry)) // also if something stays uncovered
			u.s.updates.Add(1)
			u.s.reasons.Clear(topicUpdate)
		}
	}
	return nil
}

// due reports whether an ecosystem was not checked for an update interval, or is missing.
func (u *updater) due(now time.Time) bool {
	wanted := u.wanted()
	if len(wanted) == 0 {
		return false
	}
	store, err := advisory.Open(u.s.cfg.VulnDBPath)
	if err != nil {
		return true
	}
	defer func() { _ = store.Close() }() // only read
	return slices.ContainsFunc(append(wanted, u.kept(store.Status())...), func(ecosystem string) bool {
		c, covered := store.Coverage(ecosystem)
		return !covered || now.Sub(c.Checked) >= u.s.cfg.updateInterval()
	})
}

// update downloads what is wanted. What is known to be exploited, and how likely, comes from its public source if the advisories do: a
// mirror has no such place.
func (u *updater) update(ctx context.Context) error {
	o := advisory.UpdateOptions{URL: u.s.cfg.VulnDBURL, Ecosystems: u.all()}
	if o.URL == advisory.DefaultURL {
		o.KEVURL, o.EPSSURL = advisory.DefaultKEVURL, advisory.DefaultEPSSURL
	}
	report, err := advisory.Update(ctx, u.s.cfg.VulnDBPath, o)
	if report != nil && len(report.Imported) > 0 {
		u.s.log.WithField("generation", report.ID).WithField("imported", len(report.Imported)).Info("vulnerability database updated")
	}
	return err
}
