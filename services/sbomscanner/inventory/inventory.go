// Package inventory has the result of a scan: the packages of one asset, where they were found, and what could not be read.
package inventory

import (
	"cmp"
	"slices"
	"time"

	"github.com/ironpost/ironpost/event"
)

// Kind is what an asset is.
type Kind string

// The kinds of assets.
const (
	Directory Kind = "directory"
	Image     Kind = "image"
	Document  Kind = "document" // an SBOM made by another program
)

// Asset is what was scanned.
type Asset struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"` // absolute path of a directory or document, reference of an image

	// Digest is sha256:… of an image's configuration (Docker's image id) or of a document's bytes; empty for a directory.
	Digest string `json:"digest,omitempty"`

	// Containers run the image, as Docker says. They may change while the asset stays the same.
	Containers []event.Container `json:"containers,omitempty"`
}

// Key identifies the asset over time: a directory by its path, an image and a document by their content.
func (a Asset) Key() string { return string(a.Kind) + ":" + cmp.Or(a.Digest, a.Name) }

// Package is one version of one package of an asset, however often it was found there.
type Package struct {
	PURL      string `json:"purl"` // package URL in canonical form (ECMA-427), unique in an inventory
	Name      string `json:"name"`
	Version   string `json:"version,omitempty"`
	Ecosystem string `json:"ecosystem,omitempty"` // as OSV spells it, such as npm or Debian:12; empty where OSV has none

	// AdvisoryName is the name that advisories use where it is not Name: the source package of a Debian or Alpine package.
	AdvisoryName string `json:"advisory_name,omitempty"`
	// AdvisoryVersion is the version to compare where it is not Version: that of the source package.
	AdvisoryVersion string `json:"advisory_version,omitempty"`

	Locations []string `json:"locations"`            // files that name the package, slash paths relative to the asset's root, sorted
	Layer     string   `json:"layer,omitempty"`      // diff id of the image layer that brought it
	Groups    []string `json:"groups,omitempty"`     // dependency groups, such as dev or optional; empty: needed at run time
	DependsOn []string `json:"depends_on,omitempty"` // package URLs in the same inventory, sorted
	Licenses  []string `json:"licenses,omitempty"`   // SPDX expressions as the package states them
}

// Problem is a file, or a part of an asset, that could not be read.
type Problem struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

// Inventory is the result of a scan of one asset.
type Inventory struct {
	Asset Asset `json:"asset"`

	// Time is that of the newest input, in UTC: the latest modification of a file that named a package, or the creation of an image.
	// Documents carry it instead of the time of the scan, so that the same inputs give the same bytes.
	// Zero if no input states one.
	Time time.Time `json:"time,omitzero"`

	Packages []Package      `json:"packages"`           // sorted by PURL
	Problems []Problem      `json:"problems,omitempty"` // capped; Skipped has the sums
	Skipped  map[string]int `json:"skipped,omitempty"`  // files that were not read, by reason, such as too_large
}

// Complete reports whether everything in the asset was read.
func (i *Inventory) Complete() bool { return len(i.Problems) == 0 && len(i.Skipped) == 0 }

// Sort puts packages in order and merges those with the same PURL.
func (i *Inventory) Sort() {
	slices.SortStableFunc(i.Packages, func(a, b Package) int { return cmp.Compare(a.PURL, b.PURL) })
	merged := i.Packages[:0]
	for _, p := range i.Packages {
		if n := len(merged); n > 0 && merged[n-1].PURL == p.PURL {
			merged[n-1].merge(p)
			continue
		}
		merged = append(merged, p)
	}
	clear(i.Packages[len(merged):])
	i.Packages = merged
}

// merge adds where q was found, and what it depends on, to p, which is the same package.
func (p *Package) merge(q Package) {
	p.Locations = union(p.Locations, q.Locations)
	p.DependsOn = union(p.DependsOn, q.DependsOn)
	p.Licenses = union(p.Licenses, q.Licenses)
	if len(p.Groups) == 0 || len(q.Groups) == 0 {
		p.Groups = nil // needed at run time in one place is needed at run time
		return
	}
	p.Groups = union(p.Groups, q.Groups)
}

func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
