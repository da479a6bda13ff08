package finding

import (
	"slices"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
	"github.com/ironpost/ironpost/services/sbomscanner/match"
)

// Observation is what a match says of an asset.
type Observation struct {
	Asset  inventory.Asset
	Result *match.Result
	Time   time.Time
	// Unknown reports whether it says nothing that a finding is not among those of Result: what named its package could not be
	// read, or its ecosystem has no advisories.
	Unknown func(Finding) bool
	// Ignored returns why a finding does not matter, "" if it does.
	Ignored    func(Finding) string
	Thresholds Thresholds
}

// Report is what is to be reported of an observation.
type Report struct {
	Asset  Asset
	Digest []Finding // newly to report, the worst first
	Alone  []Finding // of them and of others, those with an alert of their own, the worst first
}

// reconciler compares the findings of one asset with an observation.
type reconciler struct {
	Observation

	asset  string
	next   []Finding
	report Report
	change bool
}

// reconcile returns the findings after the observation, what to report, and whether anything differs from before.
func reconcile(before []Finding, o Observation) ([]Finding, Report, bool) {
	r := &reconciler{Observation: o, asset: o.Asset.Key()}
	known, found := map[string][]Finding{}, map[string][]match.Finding{}
	var purls []string
	for _, f := range before {
		if known[f.PURL] == nil {
			purls = append(purls, f.PURL)
		}
		known[f.PURL] = append(known[f.PURL], f)
	}
	for _, m := range o.Result.Findings {
		if known[m.PURL] == nil && found[m.PURL] == nil {
			purls = append(purls, m.PURL)
		}
		found[m.PURL] = append(found[m.PURL], m)
	}
	for _, purl := range purls {
		r.reconcilePackage(known[purl], found[purl])
	}
	slices.SortFunc(r.next, compareFindings)
	slices.SortFunc(r.report.Digest, WorstFirst)
	slices.SortFunc(r.report.Alone, WorstFirst)
	return r.next, r.report, r.change
}

// packageFindings is what is known and what was found of one package.
type packageFindings struct {
	known     []Finding
	found     []match.Finding
	groupOf   map[string]int // index in found by name
	knownAs   map[string]int // index in known by name
	continues map[int][]int  // indexes in known by index in found
	keys      map[string]bool
}

// reconcilePackage is reconcile for the findings of one package.
func (r *reconciler) reconcilePackage(known []Finding, found []match.Finding) {
	p := packageFindings{known: known, found: found, groupOf: map[string]int{}, knownAs: map[string]int{}, continues: map[int][]int{}, keys: map[string]bool{}}
	for i, m := range found {
		for _, name := range namesOf(m) {
			if _, taken := p.groupOf[name]; !taken {
				p.groupOf[name] = i
			}
		}
	}
	for i, f := range known {
		p.keys[f.Key] = true
		for _, name := range f.Names {
			if _, taken := p.knownAs[name]; !taken {
				p.knownAs[name] = i
			}
		}
		if owner, continues := p.ownerOf(f); continues {
			p.continues[owner] = append(p.continues[owner], i)
		} else {
			r.absent(f)
		}
	}
	for i, m := range found {
		f := r.identify(i, &p)
		before := f
		f.update(m, func(name string) bool { owner, found := p.groupOf[name]; return found && owner != i })
		r.present(f, before)
	}
}

// ownerOf returns the index of what was found as which f continues: what has its first name, else the first that shares a name.
func (p *packageFindings) ownerOf(f Finding) (owner int, continues bool) {
	for n, name := range f.Names {
		i, found := p.groupOf[name]
		if found && n == 0 {
			return i, true
		}
		if found && (!continues || i < owner) {
			owner, continues = i, true
		}
	}
	return owner, continues
}

// identify returns the finding that found[i] is: the one that it continues, the oldest of several that became one, a copy of the one
// that it was a part of, or a new one.
func (r *reconciler) identify(i int, p *packageFindings) Finding {
	var same []Finding
	for _, k := range p.continues[i] {
		same = append(same, p.known[k])
	}
	if len(same) > 0 {
		r.change = r.change || len(same) > 1
		return merge(same)
	}
	m := p.found[i]
	f := newFinding(r.asset, m, r.Time)
	for p.keys[f.Key] { // of a finding that goes by another name now
		f.Key = event.ID(f.Key)
	}
	p.keys[f.Key] = true
	for _, name := range namesOf(m) {
		if k, known := p.knownAs[name]; known { // and that one continues as another
			whole := p.known[k]
			f.FirstSeen, f.State, f.Why, f.Since, f.Generation = whole.FirstSeen, whole.State, whole.Why, whole.Since, whole.Generation
			f.Reported, f.Alone, f.Again = whole.Reported, whole.Alone, whole.Again
			break
		}
	}
	return f
}

// merge returns the oldest of findings that became one, preferably one that was found. What was reported of one was reported.
func merge(same []Finding) Finding {
	slices.SortStableFunc(same, func(a, b Finding) int {
		if a.State.Present() != b.State.Present() {
			if a.State.Present() {
				return -1
			}
			return 1
		}
		return a.FirstSeen.Compare(b.FirstSeen)
	})
	f := same[0]
	for _, other := range same[1:] {
		f.Generation = max(f.Generation, other.Generation)
		f.Again = f.Again || other.Again
		f.Names = uniqueFirst(append(f.Names, other.Names...), maxNames)
		if other.State.Present() {
			f.Reported, f.Alone = f.Reported || other.Reported, f.Alone || other.Alone
		}
	}
	return f
}

// present adds a finding that was found; before is what it was.
func (r *reconciler) present(f, before Finding) {
	what := f.found(r.Thresholds, r.Ignored(f), r.Time)
	if what.digest {
		r.report.Digest = append(r.report.Digest, f)
	}
	if what.alone {
		r.report.Alone = append(r.report.Alone, f)
	}
	r.change = r.change || !equal(f, before)
	r.next = append(r.next, f)
}

// absent keeps or ends a finding that was not found.
func (r *reconciler) absent(f Finding) {
	if f.State != Fixed && !r.Unknown(f) {
		f.gone(r.Time)
		r.change = true
	}
	r.next = append(r.next, f)
}
