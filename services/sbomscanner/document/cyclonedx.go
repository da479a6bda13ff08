package document

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/google/uuid"

	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// assetRef refers to the asset; package URLs begin otherwise.
const assetRef = "asset"

// property names of Ironpost begin with this, as CycloneDX asks.
const propertyPrefix = "ironpost:"

// bom returns the content as CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/), without its UUID.
func (c *content) bom() *cyclonedx.BOM {
	out := &cyclonedx.BOM{
		JSONSchema: "http://cyclonedx.org/schema/bom-1.6.schema.json", BOMFormat: cyclonedx.BOMFormat, SpecVersion: cyclonedx.SpecVersion1_6,
		SerialNumber: "urn:uuid:" + uuid.Nil.String(), Version: 1,
		Metadata: c.metadata(),
	}
	components := make([]cyclonedx.Component, 0, len(c.packages))
	for _, p := range c.packages {
		components = append(components, component(p))
	}
	out.Components = &components
	out.Dependencies = c.dependencyGraph()
	aggregate := cyclonedx.CompositionAggregateUnknown
	if len(c.missing) > 0 {
		aggregate = cyclonedx.CompositionAggregateIncomplete
	}
	out.Compositions = &[]cyclonedx.Composition{{Aggregate: aggregate, Assemblies: &[]cyclonedx.BOMReference{assetRef}}}
	if c.Findings != nil {
		vulnerabilities := c.vulnerabilities()
		out.Vulnerabilities = &vulnerabilities
	}
	return out
}

func (c *content) metadata() *cyclonedx.Metadata {
	m := &cyclonedx.Metadata{
		Tools: &cyclonedx.ToolsChoice{Components: &[]cyclonedx.Component{{
			Type: cyclonedx.ComponentTypeApplication, Name: "ironpost", Version: line(c.Version),
		}}},
		Component: c.assetComponent(),
	}
	if !c.time.IsZero() {
		m.Timestamp = c.time.Format(time.RFC3339)
	}
	var missing []cyclonedx.Property
	for _, reason := range slices.Sorted(maps.Keys(c.missing)) {
		missing = append(missing, property("skipped:"+reason, strconv.Itoa(c.missing[reason])))
	}
	m.Properties = properties(missing)
	return m
}

func (c *content) assetComponent() *cyclonedx.Component {
	types := map[inventory.Kind]cyclonedx.ComponentType{inventory.Image: cyclonedx.ComponentTypeContainer, inventory.Document: cyclonedx.ComponentTypeFile}
	out := &cyclonedx.Component{BOMRef: assetRef, Type: cyclonedx.ComponentTypeApplication, Name: line(c.asset.Name)}
	if t, special := types[c.asset.Kind]; special {
		out.Type, out.Version = t, line(c.asset.Digest)
	}
	if sum := c.digest(); sum != "" {
		out.Hashes = &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: sum}}
	}
	about := []cyclonedx.Property{property("kind", string(c.asset.Kind))}
	for _, container := range c.asset.Containers[:min(len(c.asset.Containers), maxNames)] {
		about = append(about, property("container:"+container.ID, container.Name))
	}
	out.Properties = properties(about)
	return out
}

func component(p inventory.Package) cyclonedx.Component {
	out := cyclonedx.Component{BOMRef: reference(p.PURL), Type: cyclonedx.ComponentTypeLibrary, Name: line(p.Name), Version: line(p.Version), Licenses: licenses(p.Licenses)}
	if validPURL(p.PURL) {
		out.PackageURL = p.PURL
	}
	if len(p.Groups) > 0 {
		out.Scope = cyclonedx.ScopeOptional
	}
	if found := lines(p.Locations, maxLocations); len(found) > 0 {
		occurrences := make([]cyclonedx.EvidenceOccurrence, 0, len(found))
		for _, path := range found {
			occurrences = append(occurrences, cyclonedx.EvidenceOccurrence{Location: path})
		}
		out.Evidence = &cyclonedx.Evidence{Occurrences: &occurrences}
	}
	about := []cyclonedx.Property{property("ecosystem", p.Ecosystem), property("advisory_name", p.AdvisoryName), property("advisory_version", p.AdvisoryVersion), property("layer", p.Layer)}
	for _, group := range lines(p.Groups, maxNames) {
		about = append(about, property("group", group))
	}
	if n := len(p.Locations); n > maxLocations {
		about = append(about, property("locations", strconv.Itoa(n)))
	}
	out.Properties = properties(about)
	return out
}

// licenses returns what a package states. CycloneDX allows one expression, or a list of identifiers and names.
func licenses(stated []string) *cyclonedx.Licenses {
	stated = stated[:min(len(stated), maxLicenses)]
	var out cyclonedx.Licenses
	for _, text := range stated {
		expression, simple, valid := licenseExpression(text)
		switch {
		case valid && simple:
			out = append(out, cyclonedx.LicenseChoice{License: &cyclonedx.License{ID: expression}})
		case valid && len(stated) == 1:
			out = append(out, cyclonedx.LicenseChoice{Expression: expression})
		case line(text) != "":
			out = append(out, cyclonedx.LicenseChoice{License: &cyclonedx.License{Name: line(text)}})
		}
	}
	if len(out) == 0 {
		return nil
	}
	return &out
}

// dependencyGraph has the asset and the packages whose dependencies are known: a package that is not listed may have some.
func (c *content) dependencyGraph() *[]cyclonedx.Dependency {
	graph := []cyclonedx.Dependency{dependency(assetRef, c.roots())}
	for _, p := range c.packages {
		if needed := c.dependencies(p); len(needed) > 0 {
			graph = append(graph, dependency(reference(p.PURL), needed))
		}
	}
	return &graph
}

func dependency(ref string, purls []string) cyclonedx.Dependency {
	refs := make([]string, 0, len(purls))
	for _, purl := range purls {
		refs = append(refs, reference(purl))
	}
	return cyclonedx.Dependency{Ref: ref, Dependencies: &refs}
}

func property(name, value string) cyclonedx.Property {
	return cyclonedx.Property{Name: propertyPrefix + line(name), Value: line(value)}
}

// properties returns those with a value.
func properties(all []cyclonedx.Property) *[]cyclonedx.Property {
	all = slices.DeleteFunc(all, func(p cyclonedx.Property) bool { return p.Value == "" })
	if len(all) == 0 {
		return nil
	}
	return &all
}
