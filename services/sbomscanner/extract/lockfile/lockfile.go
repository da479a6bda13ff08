// Package lockfile reads lock files with the dependencies between packages, which the extractors of osv-scalibr leave out:
// those of npm, Cargo, Poetry and uv. Each function takes the content of a file and returns its packages without
// Locations. The caller bounds size and nesting.
package lockfile

import (
	"maps"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// maxText bounds a name or version.
const maxText = 1024

// graph collects the packages of a lock file and who needs whom, by a key of the lock file.
type graph[K comparable] struct {
	packages []inventory.Package
	index    map[K]int // key → position in packages
	needs    map[int][]K
}

func newGraph[K comparable]() *graph[K] {
	return &graph[K]{index: map[K]int{}, needs: map[int][]K{}}
}

// add takes a package and those it needs. One without a usable name is left out.
func (g *graph[K]) add(key K, kind, name, version string, groups []string, needs []K) {
	if len(name) > maxText || len(version) > maxText {
		return
	}
	p, err := inventory.NewPackage(kind, name, version, nil)
	if err != nil {
		return
	}
	p.Groups = groups
	g.index[key] = len(g.packages)
	g.needs[len(g.packages)] = needs
	g.packages = append(g.packages, p)
}

// done returns the packages with what they depend on.
func (g *graph[K]) done() []inventory.Package {
	for i := range g.packages {
		urls := map[string]bool{}
		for _, key := range g.needs[i] {
			if to, ok := g.index[key]; ok && g.packages[to].PURL != g.packages[i].PURL {
				urls[g.packages[to].PURL] = true
			}
		}
		if len(urls) > 0 {
			g.packages[i].DependsOn = slices.Sorted(maps.Keys(urls))
		}
	}
	return g.packages
}

// groupsOf returns the names whose condition holds.
func groupsOf(dev, optional bool) (groups []string) {
	if dev {
		groups = append(groups, "dev")
	}
	if optional {
		groups = append(groups, "optional")
	}
	return groups
}

// separators are what PEP 503 replaces in names of Python packages.
var separators = strings.NewReplacer("_", "-", ".", "-")

// pythonName returns the normalized name of a Python package.
func pythonName(name string) string {
	name = separators.Replace(strings.ToLower(name))
	for strings.Contains(name, "--") {
		name = strings.ReplaceAll(name, "--", "-")
	}
	return name
}
