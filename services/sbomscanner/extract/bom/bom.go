// Package bom reads SBOM documents that other programs wrote: CycloneDX in JSON and XML, SPDX 2 in JSON and as
// tag-value. What kind a document is follows from its content. Components without a package URL are left out, because
// no advisory can be found for them; how many is returned.
package bom

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/google/osv-scalibr/purl"

	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// ErrUnknownFormat is the error for a document that is neither CycloneDX nor SPDX in a supported form.
var ErrUnknownFormat = errors.New("is neither CycloneDX (JSON, XML) nor SPDX 2 (JSON, tag-value)")

// Limits of one component. A longer text makes the component unusable.
const (
	maxURL      = 4096
	maxLicense  = 1024
	maxLicenses = 20
)

// Document is what an SBOM document names.
type Document struct {
	Packages []inventory.Package // without Locations
	Unnamed  int                 // components without a usable package URL
}

// Read returns the packages of a document and their dependencies. The caller bounds the content's size.
func Read(content []byte) (Document, error) {
	content = bytes.TrimPrefix(bytes.TrimSpace(content), []byte("\xef\xbb\xbf"))
	switch {
	case bytes.HasPrefix(content, []byte("{")) && bytes.Contains(content, []byte(`"bomFormat"`)),
		bytes.HasPrefix(content, []byte("<")) && bytes.Contains(content, []byte("cyclonedx.org/schema/bom")):
		return readCycloneDX(content)
	case bytes.HasPrefix(content, []byte("{")) && bytes.Contains(content, []byte(`"spdxVersion"`)):
		return readSPDX(content)
	case bytes.Contains(content, []byte("SPDXVersion:")):
		return readTagValue(content)
	}
	return Document{}, ErrUnknownFormat
}

// collector turns the components of a document into packages.
type collector struct {
	document Document
	urls     map[string]string   // component's id in the document → package URL
	needs    map[string][]string // component's id → ids
}

func newCollector() *collector {
	return &collector{urls: map[string]string{}, needs: map[string][]string{}}
}

// component is what both formats state.
type component struct {
	id, url, name, version string
	licenses, groups       []string
}

func (c *collector) add(in component) {
	if in.url == "" || len(in.url) > maxURL {
		c.document.Unnamed++
		return
	}
	p, err := inventory.FromPURL(in.url)
	if err != nil {
		c.document.Unnamed++
		return
	}
	if strings.HasPrefix(p.PURL, "pkg:"+purl.TypeGolang+"/") && strings.EqualFold(in.name, p.Name) {
		p.Name = in.name // package URLs of Go are in lower case, advisories are not
	}
	if p.Version == "" && len(in.version) <= maxURL {
		p.Version = in.version
	}
	p.Groups = in.groups
	for _, license := range in.licenses {
		if license != "" && len(license) <= maxLicense && len(p.Licenses) < maxLicenses {
			p.Licenses = append(p.Licenses, license)
		}
	}
	if in.id != "" {
		c.urls[in.id] = p.PURL
	}
	c.document.Packages = append(c.document.Packages, p)
}

// depends notes that component from needs component to.
func (c *collector) depends(from, to string) { c.needs[from] = append(c.needs[from], to) }

// done returns the document with its dependencies.
func (c *collector) done() Document {
	edges := map[string][]string{}
	for from, ids := range c.needs {
		url := c.urls[from]
		for _, id := range ids {
			if to := c.urls[id]; url != "" && to != "" && to != url {
				edges[url] = append(edges[url], to)
			}
		}
	}
	for i := range c.document.Packages {
		p := &c.document.Packages[i]
		list := edges[p.PURL]
		slices.Sort(list)
		p.DependsOn = slices.Compact(list)
	}
	return c.document
}
