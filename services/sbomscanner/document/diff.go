package document

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// Difference is what distinguishes two inventories. Each list is sorted by package.
type Difference struct {
	Added   []Change `json:"added"`
	Removed []Change `json:"removed"`
	Changed []Change `json:"changed"` // other versions
}

// Change is one package with the versions that only one of the inventories has.
type Change struct {
	Package string   `json:"package"`        // package URL without version
	From    []string `json:"from,omitempty"` // versions that are gone, sorted
	To      []string `json:"to,omitempty"`   // versions that are new, sorted
}

// Empty reports whether there is no difference.
func (d Difference) Empty() bool { return len(d.Added)+len(d.Removed)+len(d.Changed) == 0 }

// Diff compares the packages of two inventories by package URL without version and qualifiers, so that the same package of a
// newer distribution is a change of version, not another package.
func Diff(from, to *inventory.Inventory) Difference {
	d := Difference{Added: []Change{}, Removed: []Change{}, Changed: []Change{}}
	before, after := versions(from), versions(to)
	names := maps.Clone(before)
	maps.Copy(names, after)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		was, is := before[name], after[name]
		c := Change{Package: name, From: without(was, is), To: without(is, was)}
		switch {
		case was == nil:
			d.Added = append(d.Added, c)
		case is == nil:
			d.Removed = append(d.Removed, c)
		case len(c.From)+len(c.To) > 0:
			d.Changed = append(d.Changed, c)
		}
	}
	return d
}

// versions returns the versions of each package.
func versions(inv *inventory.Inventory) map[string]map[string]bool {
	out := map[string]map[string]bool{}
	for _, p := range inv.Packages {
		name, version := splitPURL(p)
		if out[name] == nil {
			out[name] = map[string]bool{}
		}
		out[name][version] = true
	}
	return out
}

// splitPURL returns a package URL without version, qualifiers and subpath, and the version as people write it. In a canonical one
// every other @ is percent-encoded.
func splitPURL(p inventory.Package) (name, version string) {
	name, _, _ = strings.Cut(p.PURL, "#")
	name, _, _ = strings.Cut(name, "?")
	name, version, _ = strings.Cut(name, "@")
	return name, cmp.Or(p.Version, version)
}

// without returns the sorted elements of a that b has not.
func without(a, b map[string]bool) []string {
	var out []string
	for v := range a {
		if !b[v] {
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return out
}
