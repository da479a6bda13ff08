package osvscanner

import (
	"cmp"
	"errors"
	"slices"

	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
	"github.com/ironpost/ironpost/services/sbomscanner/match"
)

// Reason says why an advisory is found by one engine only.
type Reason string

// The reasons.
const (
	// GitFirst: the ranges of the advisory begin with one of commits, and osv-scanner does not look at those after it.
	GitFirst Reason = "git_first_range"
	// GoStandardLibrary: osv-scanner leaves the Go version of go.mod out.
	GoStandardLibrary Reason = "go_standard_library"
	// VersionOrder: the engines compare or spell versions differently.
	VersionOrder Reason = "version_order"
	// VersionUnreadable: the package has no version that can be compared; osv-scanner takes it as affected, the matcher counts it.
	VersionUnreadable Reason = "version_unreadable"
	// PackageMissing: the other engine did not find the package.
	PackageMissing Reason = "package_missing"
	// DevelopmentGroup: the package is in dependency groups such as dev only.
	DevelopmentGroup Reason = "development_group"
	// NoData: the database has no advisories for the ecosystem.
	NoData Reason = "no_data"
	// Unknown: none of the others.
	Unknown Reason = "unknown"
)

// The engines, as Difference.OnlyIn has them.
const (
	Ironpost   = "ironpost"
	OSVScanner = "osv-scanner"
)

// Comparison is how the findings of two engines differ.
type Comparison struct {
	Engine      string       `json:"engine"` // name and version of the second one
	Common      int          `json:"common"` // advisories, of one package each, that both found
	Differences []Difference `json:"differences"`
}

// Difference is an advisory that one engine found for a package and the other did not.
type Difference struct {
	PURL   string `json:"purl"`
	ID     string `json:"id"` // of the advisory
	OnlyIn string `json:"only_in"`
	Reason Reason `json:"reason"`
}

// pair is an advisory for a package.
type pair struct {
	key
	id string
}

// comparison is one call of Compare.
type comparison struct {
	store       *advisory.Store
	ours        map[key]*inventory.Package
	oursAffect  map[pair]bool
	theirs      map[key]*Package
	theirAffect map[pair]bool
}

// Compare explains every difference between the findings of the matcher for inv and a report of osv-scanner on the same asset,
// made with the same store.
func Compare(store *advisory.Store, inv *inventory.Inventory, ours *match.Result, theirs *Report) (*Comparison, error) {
	c := &comparison{store: store, ours: map[key]*inventory.Package{}, oursAffect: map[pair]bool{}, theirs: map[key]*Package{}, theirAffect: map[pair]bool{}}
	c.addOurs(inv, ours)
	c.addTheirs(theirs)
	out := &Comparison{Engine: theirs.Engine, Differences: []Difference{}}
	for p := range c.oursAffect {
		if c.theirAffect[p] {
			out.Common++
			continue
		}
		reason, err := c.whyOnlyOurs(p)
		if err != nil {
			return nil, err
		}
		out.Differences = append(out.Differences, Difference{c.ours[p.key].PURL, p.id, Ironpost, reason})
	}
	for p := range c.theirAffect {
		if !c.oursAffect[p] {
			out.Differences = append(out.Differences, Difference{c.purl(p.key), p.id, OSVScanner, c.whyOnlyTheirs(p)})
		}
	}
	slices.SortFunc(out.Differences, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.PURL, b.PURL), cmp.Compare(a.ID, b.ID), cmp.Compare(a.OnlyIn, b.OnlyIn))
	})
	return out, nil
}

func (c *comparison) addOurs(inv *inventory.Inventory, ours *match.Result) {
	byURL := map[string]key{}
	for i := range inv.Packages {
		p := &inv.Packages[i]
		byURL[p.PURL] = keyOf(p)
		c.ours[keyOf(p)] = p
	}
	for _, f := range ours.Findings {
		k, ok := byURL[f.PURL]
		if !ok {
			continue // of another inventory
		}
		for _, id := range f.IDs {
			c.oursAffect[pair{k, id}] = true
		}
	}
}

// addTheirs adds the packages of a report. One that osv-scanner found under the version of a binary package, where the
// inventory has that of the source package, counts as the latter.
func (c *comparison) addTheirs(theirs *Report) {
	binary := map[key]key{}
	for k, p := range c.ours {
		binary[newKey(p.Ecosystem, k.name, p.Version)] = k
	}
	for i := range theirs.Packages {
		p := &theirs.Packages[i]
		k := p.key()
		if c.ours[k] == nil {
			k = cmp.Or(binary[k], k)
		}
		c.theirs[k] = p
		for _, id := range p.IDs {
			c.theirAffect[pair{k, id}] = true
		}
	}
}

func (c *comparison) purl(k key) string {
	if p := c.ours[k]; p != nil {
		return p.PURL
	}
	return c.theirs[k].PURL
}

// whyOnlyOurs explains an advisory that osv-scanner did not find.
func (c *comparison) whyOnlyOurs(p pair) (Reason, error) {
	if c.theirs[p.key] == nil {
		if p.ecosystem == "Go" && p.name == "stdlib" {
			return GoStandardLibrary, nil
		}
		return PackageMissing, nil
	}
	candidates, err := c.store.Lookup(p.ecosystem, p.name)
	if err != nil && !errors.Is(err, advisory.ErrNotCovered) {
		return "", err
	}
	for _, a := range candidates {
		if a.ID == p.id {
			return whyMissed(a), nil
		}
	}
	return Unknown, nil
}

// whyMissed tells what osv-scanner makes of the ranges of an advisory that affects a package.
func whyMissed(a *advisory.Advisory) Reason {
	for _, entry := range a.Affected {
		git := false
		for _, r := range entry.Ranges {
			if git && r.Type != advisory.Git {
				return GitFirst
			}
			git = git || r.Type == advisory.Git
		}
	}
	return VersionOrder
}

// whyOnlyTheirs explains an advisory that only osv-scanner found.
func (c *comparison) whyOnlyTheirs(p pair) Reason {
	ours := c.ours[p.key]
	_, covered := c.store.Coverage(p.ecosystem)
	switch {
	case ours == nil:
		return PackageMissing
	case !covered:
		return NoData
	case !match.Readable(ours):
		return VersionUnreadable
	case len(ours.Groups) > 0:
		return DevelopmentGroup
	}
	return Unknown
}

// Text says the reason in words for a person.
func (r Reason) Text() string {
	switch r {
	case GitFirst:
		return "the advisory's first range is one of commits; osv-scanner does not look at those after it"
	case GoStandardLibrary:
		return "osv-scanner leaves out the Go version that go.mod names"
	case VersionOrder:
		return "the engines compare versions differently"
	case VersionUnreadable:
		return "the version cannot be compared; osv-scanner takes such a package as affected"
	case PackageMissing:
		return "the other engine did not find the package"
	case DevelopmentGroup:
		return "the package is needed for development only"
	case NoData:
		return "the database has no advisories for the ecosystem"
	}
	return "no reason was found"
}
