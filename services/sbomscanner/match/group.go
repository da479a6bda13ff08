package match

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
)

const (
	// maxNames limits the names of one vulnerability: a chain of wrong aliases ends there.
	maxNames = 200
	// maxSummary limits the summary of a finding, in bytes.
	maxSummary = 300
)

// group is the advisories that affect one package and are about the same vulnerability.
type group struct {
	hits    []hit
	names   map[string]bool      // ids and aliases
	causes  []string             // what an advisory about several vulnerabilities is based on
	related []*advisory.Advisory // other advisories of these names and causes
	details []string             // of hits
	index   int                  // in grouping
	part    *group               // that it became part of; nil: none
}

// aliases finds out which advisories are about the same vulnerability. It serves one call of Match.
type aliases struct {
	store *advisory.Store
	known map[string]*names // by advisory id
}

// names is what the store says about the names of one advisory.
type names struct {
	same    map[string]bool // names of the same vulnerability
	causes  []string        // the vulnerabilities that an advisory about several of them fixes
	details string          // of the advisory: lookups by package leave it out
	related []*advisory.Advisory
}

// group puts hits with a common name together. An advisory about several vulnerabilities, such as a Debian security advisory, is
// a finding of its own only if not all of them are findings already.
func (a *aliases) group(hits []hit) ([]*group, error) {
	all := grouping{byName: map[string]*group{}}
	var bulletins []hit
	for _, h := range hits {
		n, err := a.of(h.Advisory)
		if err != nil {
			return nil, err
		}
		if len(n.causes) > 0 {
			bulletins = append(bulletins, h)
			continue
		}
		all.join(h, n)
	}
	own := maps.Clone(all.byName)
	for _, h := range bulletins {
		n := a.known[h.ID]
		if parts := covering(own, n.causes); parts != nil {
			for _, g := range parts {
				g.hits = append(g.hits, h)
			}
			continue
		}
		all.join(h, n)
	}
	return slices.DeleteFunc(all.groups, func(g *group) bool { return g.part != nil }), nil
}

// grouping is groups while they are made, found by name: a kernel has thousands.
type grouping struct {
	groups []*group // also those that became part of another
	byName map[string]*group
}

// join adds h to the groups with which it shares a name, which become the first of them, or to a new group.
func (a *grouping) join(h hit, n *names) {
	var same []*group
	for name := range n.same {
		if g := a.byName[name]; g != nil {
			same = append(same, g.whole())
		}
	}
	slices.SortFunc(same, func(a, b *group) int { return cmp.Compare(a.index, b.index) })
	same = slices.Compact(same)
	if len(same) == 0 {
		same = []*group{{index: len(a.groups), names: map[string]bool{}}}
		a.groups = append(a.groups, same[0])
	}
	joined := same[0]
	for _, g := range same[1:] {
		joined.hits = append(joined.hits, g.hits...)
		joined.related = append(joined.related, g.related...)
		joined.causes = append(joined.causes, g.causes...)
		joined.details = append(joined.details, g.details...)
		maps.Copy(joined.names, g.names)
		g.part = joined
	}
	joined.hits = append(joined.hits, h)
	joined.related = append(joined.related, n.related...)
	joined.causes = append(joined.causes, n.causes...)
	joined.details = append(joined.details, n.details)
	maps.Copy(joined.names, n.same)
	for name := range n.same {
		a.byName[name] = joined
	}
}

// whole returns the group that g is part of now.
func (g *group) whole() *group {
	for g.part != nil {
		g = g.part
	}
	return g
}

// covering returns the groups that are about causes, or nil if one of these is in none of groups.
func covering(groups map[string]*group, causes []string) []*group {
	var parts []*group
	for _, cause := range causes {
		g := groups[cause]
		if g == nil {
			return nil
		}
		if g = g.whole(); !slices.Contains(parts, g) {
			parts = append(parts, g)
		}
	}
	return parts
}

// of follows the aliases of an advisory, and the aliases of what they name, to all names of its vulnerability.
func (a *aliases) of(first *advisory.Advisory) (*names, error) {
	if n := a.known[first.ID]; n != nil {
		return n, nil
	}
	n := &names{same: map[string]bool{first.ID: true}, causes: several(first)}
	seen := map[string]bool{} // advisories
	queue := []string{first.ID}
	queue = append(queue, sameNames(first)...)
	for ; len(queue) > 0 && len(n.same) < maxNames; queue = queue[1:] {
		n.same[queue[0]] = true
		records, err := a.named(queue[0], seen)
		if err != nil {
			return nil, err
		}
		for _, record := range records {
			if record.ID == first.ID {
				n.details = record.Details
				continue
			}
			n.related = append(n.related, record)
			for _, name := range append(sameNames(record), record.ID) {
				if !n.same[name] && !slices.Contains(queue, name) {
					queue = append(queue, name)
				}
			}
		}
	}
	for _, cause := range n.causes {
		records, err := a.named(cause, seen)
		if err != nil {
			return nil, err
		}
		n.related = append(n.related, records...)
	}
	a.known[first.ID] = n
	return n, nil
}

// named returns the advisories with an id or alias that are not in seen, to which it adds them.
func (a *aliases) named(id string, seen map[string]bool) ([]*advisory.Advisory, error) {
	records, err := a.store.ByID(id)
	if err != nil {
		return nil, err
	}
	records = slices.DeleteFunc(slices.Clone(records), func(r *advisory.Advisory) bool { return seen[r.ID] || !r.Withdrawn.IsZero() })
	for _, r := range records {
		seen[r.ID] = true
	}
	return records, nil
}

// sameNames returns the other names of the one vulnerability of a: its aliases, and its upstream if that is one.
func sameNames(a *advisory.Advisory) []string {
	if len(several(a)) > 0 {
		return a.Aliases
	}
	same := slices.Concat(a.Aliases, a.Upstream)
	if cve := cveIn(a.ID); cve != "" {
		same = append(same, cve)
	}
	return same
}

// several returns the vulnerabilities that an advisory of a distribution fixes, sorted, if it is based on more than one.
// DEBIAN-CVE-2024-1, UBUNTU-CVE-2024-1 and CVE-2024-1 are one; so are a CVE and the GHSA beside it.
func several(a *advisory.Advisory) []string {
	var cves []string
	for _, id := range a.Upstream {
		if cve := cveIn(id); cve != "" {
			cves = append(cves, cve)
		}
	}
	if len(cves) == 0 {
		cves = slices.Clone(a.Upstream)
	}
	slices.Sort(cves)
	if cves = slices.Compact(cves); len(cves) > 1 {
		return cves
	}
	return nil
}

// cveIn returns the CVE that an id such as DEBIAN-CVE-2024-1 has in it.
func cveIn(id string) string {
	if _, number, ok := strings.Cut(id, "CVE-"); ok {
		return "CVE-" + number
	}
	return ""
}

// id returns the name that the group is known by: a CVE, else a GHSA, else the first by name.
func (g *group) id() string {
	all := slices.Sorted(maps.Keys(g.names))
	for _, prefix := range []string{"CVE-", "GHSA-"} {
		for _, name := range all {
			if strings.HasPrefix(name, prefix) {
				return name
			}
		}
	}
	return all[0]
}

// ids returns the ids of the advisories that affect the package, sorted.
func (g *group) ids() []string {
	var ids []string
	for _, h := range g.hits {
		ids = append(ids, h.ID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// otherNames returns the names of the group that are neither id nor among ids, sorted.
func (g *group) otherNames(id string, ids []string) []string {
	others := maps.Clone(g.names)
	for _, cause := range g.causes {
		others[cause] = true
	}
	delete(others, id)
	for _, own := range ids {
		delete(others, own)
	}
	return slices.Sorted(maps.Keys(others))
}

// cves returns the CVE ids of the group.
func (g *group) cves() []string {
	all := g.otherNames("", nil)
	return slices.DeleteFunc(all, func(name string) bool { return !strings.HasPrefix(name, "CVE-") })
}

// summary returns one line about the vulnerability, or nothing if no advisory says anything.
func (g *group) summary() string {
	var texts []string
	for _, a := range g.advisories() {
		texts = append(texts, a.Summary)
	}
	for _, text := range append(texts, g.details...) {
		line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
		if line != "" {
			return event.Shorten(line, maxSummary)
		}
	}
	return ""
}

// advisories returns all advisories of the group, those that affect the package first, by id.
func (g *group) advisories() []*advisory.Advisory {
	byID := func(a, b *advisory.Advisory) int { return cmp.Compare(a.ID, b.ID) }
	var own []*advisory.Advisory
	for _, h := range g.hits {
		own = append(own, h.Advisory)
	}
	related := slices.Clone(g.related)
	slices.SortStableFunc(own, byID)
	slices.SortStableFunc(related, byID)
	return append(own, related...)
}
