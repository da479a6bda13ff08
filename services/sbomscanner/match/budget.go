package match

import (
	"cmp"
	"strings"

	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// Limits of one result. Whoever may write a file below a scanned folder can name any package in any number of versions; what he
// names must neither use up the memory nor crowd out what others have.
const (
	maxCost       = 48 << 20    // bytes of findings
	maxShare      = maxCost / 2 // of what is below one folder of the asset
	findingCost   = 450
	candidateCost = 16 // of an advisory that was compared
	maxLocations  = 8  // that are kept of a finding
)

// budget is what a pass may still find.
type budget struct {
	spent int
	by    map[string]int // by the first element of the location
}

// allows reports whether a package may be assessed: there is room, also for one of the folders that name it.
func (b *budget) allows(p *inventory.Package) bool {
	if b.spent >= maxCost {
		return false
	}
	for _, location := range p.Locations {
		if b.by[owner(location)] < maxShare {
			return true
		}
	}
	return len(p.Locations) == 0
}

// charge notes what the package cost, for everyone who names it.
func (b *budget) charge(p *inventory.Package, candidates int, found []Finding) {
	cost := 0
	for i := range found {
		cost += costOf(&found[i])
	}
	b.spent += cost
	last := ""
	for i, location := range p.Locations {
		if by := owner(location); i == 0 || by != last { // locations are sorted
			b.by[by] += cost + candidates*candidateCost
			last = by
		}
	}
}

func owner(location string) string {
	first, _, _ := strings.Cut(location, "/")
	return first
}

// costOf is about the bytes that a finding has in memory and on the disk.
func costOf(f *Finding) int {
	cost := findingCost + len(f.Summary) + len(f.Layer)
	for _, text := range []string{f.PURL, f.Name, f.Version} {
		cost += len(text) + 5*strings.Count(text, "<") + 5*strings.Count(text, ">") + 5*strings.Count(text, "&")
	}
	for _, list := range [][]string{f.Locations[:min(len(f.Locations), maxLocations)], f.Groups, f.IDs, f.IDs, f.Aliases, f.Aliases, f.Fixed} {
		for _, text := range list {
			cost += len(text) + 3
		}
	}
	return cost
}

// skip counts a package that there is no room for.
func (p *pass) skip(of *inventory.Package) {
	base, _, _ := strings.Cut(of.Ecosystem, ":")
	p.result.NotAssessed[cmp.Or(base, purlType(of.PURL))]++
}
