package finding

import (
	"cmp"
	"slices"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
	"github.com/ironpost/ironpost/services/sbomscanner/match"
)

const (
	maxNames     = 64 // of one finding
	maxLocations = 8
	maxSummary   = 256 // bytes
	maxFixed     = 4
)

// Finding is a vulnerability of a package of an asset, and what became of it.
type Finding struct {
	match.Finding

	Key   string    `json:"key"`   // follows from the asset, the package and the first name it had
	Names []string  `json:"names"` // every name of the vulnerability so far, the first one first
	State State     `json:"state"`
	Why   string    `json:"why,omitempty"` // it is ignored
	Since time.Time `json:"since"`         // of State

	FirstSeen  time.Time `json:"first_seen"`
	Generation int       `json:"generation"`         // counts its reports; part of the ids of alerts
	Reported   bool      `json:"reported,omitempty"` // since it was found, or found again
	Alone      bool      `json:"alone,omitempty"`    // the report was an alert of its own
	Again      bool      `json:"again,omitempty"`    // it was reported before it was fixed or ignored
}

// Asset is the findings of one asset, and the alerts about them that the bus has not stored.
type Asset struct {
	inventory.Asset

	Scanned     time.Time      `json:"scanned"` // the last time; saved at least daily
	Findings    []Finding      `json:"findings"`
	Outbox      []*event.Alert `json:"outbox,omitempty"`
	NotAssessed map[string]int `json:"not_assessed,omitempty"` // packages, by ecosystem
}

// newFinding returns a finding that was not known.
func newFinding(asset string, f match.Finding, now time.Time) Finding {
	return Finding{Finding: f, Key: event.ID("finding", asset, f.PURL, f.ID), FirstSeen: now.UTC()}
}

// update takes what a match says of the finding; other reports whether a name belongs to another finding of the same package.
func (f *Finding) update(m match.Finding, other func(name string) bool) {
	names := namesOf(m)
	for _, name := range f.Names {
		if !other(name) {
			names = append(names, name)
		}
	}
	first := m.ID
	if len(f.Names) > 0 && !other(f.Names[0]) {
		first = f.Names[0]
	}
	names = append([]string{first}, names...)
	f.Names = uniqueFirst(names, maxNames)
	m.Summary = event.Shorten(m.Summary, maxSummary)
	m.Locations = fewLocations(m.Locations)
	m.Fixed = m.Fixed[:min(len(m.Fixed), maxFixed)]
	m.Aliases = m.Aliases[:min(len(m.Aliases), maxNames)]
	m.IDs = m.IDs[:min(len(m.IDs), maxNames)]
	f.Finding = m
}

// namesOf returns every name of the vulnerability of m, sorted, its id first.
func namesOf(m match.Finding) []string {
	rest := slices.Concat(m.IDs, m.Aliases)
	slices.Sort(rest)
	return uniqueFirst(append([]string{m.ID}, rest...), maxNames)
}

// uniqueFirst returns at most n of names, each once, in their order.
func uniqueFirst(names []string, n int) []string {
	seen := make(map[string]bool, len(names))
	out := make([]string, 0, min(len(names), n))
	for _, name := range names {
		if name != "" && !seen[name] && len(out) < n {
			seen[name] = true
			out = append(out, name)
		}
	}
	return out
}

// equal reports whether a and b are the same in everything that is worth a write.
func equal(a, b Finding) bool {
	return a.Key == b.Key && a.State == b.State && a.Why == b.Why && a.Generation == b.Generation && a.Reported == b.Reported && a.Alone == b.Alone &&
		a.Severity == b.Severity && a.Unknown == b.Unknown && a.Score == b.Score && a.Vector == b.Vector && a.KEV == b.KEV && a.EPSS == b.EPSS &&
		a.ID == b.ID && a.Summary == b.Summary && slices.Equal(a.Names, b.Names) && slices.Equal(a.Fixed, b.Fixed) && slices.Equal(a.Locations, b.Locations)
}

func compareFindings(a, b Finding) int {
	return cmp.Or(cmp.Compare(a.PURL, b.PURL), cmp.Compare(a.Key, b.Key))
}

// WorstFirst orders findings for people: known to be exploited, then by severity, score and probability of exploitation.
func WorstFirst(a, b Finding) int {
	kev := func(f Finding) int {
		if f.KEV {
			return 1
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(kev(b), kev(a)), cmp.Compare(b.Severity, a.Severity), cmp.Compare(b.Score, a.Score),
		cmp.Compare(b.EPSS, a.EPSS), compareFindings(a, b),
	)
}
