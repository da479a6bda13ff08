package extract

import (
	"regexp"
	"slices"
	"strings"

	scalibr "github.com/google/osv-scalibr/extractor"
	apk "github.com/google/osv-scalibr/extractor/filesystem/os/apk/metadata"
	dpkg "github.com/google/osv-scalibr/extractor/filesystem/os/dpkg/metadata"
	"github.com/google/osv-scalibr/extractor/filesystem/osv"
	"github.com/google/osv-scalibr/purl"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// maxText bounds a name, version or license that a file states.
const maxText = 1024

// convert returns the packages that were found in the file called location. Those that have no name are left out.
func convert(found []*scalibr.Package, location string) []inventory.Package {
	packages := make([]inventory.Package, 0, len(found))
	byID := map[string]string{} // scalibr's id → package URL
	for _, p := range found {
		converted, ok := convertOne(p, location)
		if !ok {
			continue
		}
		packages = append(packages, converted)
		if p.ID != "" {
			byID[p.ID] = converted.PURL
		}
	}
	connect(packages, found, byID)
	return packages
}

func convertOne(p *scalibr.Package, location string) (inventory.Package, bool) {
	if n, ok := p.Metadata.(native); ok {
		n.Locations = []string{location}
		return n.Package, true
	}
	if p.Name == "go" && p.PURLType == purl.TypeGolang {
		p.Name = "stdlib" // as OSV calls it, and as the reader of go.mod does
	}
	if len(p.Name) > maxText || len(p.Version) > maxText {
		return inventory.Package{}, false
	}
	converted, err := name(p)
	if err != nil {
		return inventory.Package{}, false
	}
	converted.Locations, converted.Groups, converted.Licenses = []string{location}, groups(p), slices.Clone(p.Licenses)
	return converted, true
}

// name returns p as inventory names it.
func name(p *scalibr.Package) (inventory.Package, error) {
	switch m := p.Metadata.(type) {
	case *dpkg.Metadata:
		return distributionPackage(p, distribution{purl.TypeDebian, m.OSID, m.OSVersionID, m.Architecture})
	case *apk.Metadata:
		return distributionPackage(p, distribution{purl.TypeApk, m.OSID, m.OSVersionID, m.Architecture})
	}
	converted, err := inventory.NewPackage(p.PURLType, p.Name, p.Version, nil)
	if p.PURLType == purl.TypePyPi {
		converted.Name = pypiName(p.Name)
	}
	return converted, err
}

// source returns the name and version of the source package, where they differ from those of the package.
func source(p *scalibr.Package) (name, version string) {
	switch m := p.Metadata.(type) {
	case *dpkg.Metadata:
		name, version = m.SourceName, m.SourceVersion
	case *apk.Metadata:
		name = m.OriginName
	}
	if name == p.Name {
		name = ""
	}
	if version == p.Version {
		version = ""
	}
	return name, version
}

// groups returns the dependency groups without those that mean run time.
func groups(p *scalibr.Package) []string {
	m, ok := p.Metadata.(osv.DepGroups)
	if !ok {
		return nil
	}
	var names []string
	for _, name := range m.DepGroups() {
		if name == "requires" {
			continue // Conan's word for what is needed at run time
		}
		names = append(names, event.Shorten(strings.TrimSpace(name), maxText))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// connect sets DependsOn from the parents that parsers name.
func connect(packages []inventory.Package, found []*scalibr.Package, byID map[string]string) {
	if len(byID) == 0 {
		return
	}
	children := map[string][]string{}
	for _, p := range found {
		for parent := range p.ParentIDs {
			if from, to := byID[parent], byID[p.ID]; from != "" && to != "" && from != to {
				children[from] = append(children[from], to)
			}
		}
	}
	for i := range packages {
		urls := children[packages[i].PURL]
		slices.Sort(urls)
		packages[i].DependsOn = slices.Compact(urls)
	}
}

// separators are what PEP 503 replaces in names of Python packages.
var separators = regexp.MustCompile(`[-_.]+`)

// pypiName returns the normalized name, which advisories use.
func pypiName(name string) string { return strings.ToLower(separators.ReplaceAllString(name, "-")) }
