package bom

import (
	"bytes"
	"fmt"

	"github.com/CycloneDX/cyclonedx-go"
)

func readCycloneDX(content []byte) (Document, error) {
	format := cyclonedx.BOMFileFormatJSON
	if content[0] == '<' {
		format = cyclonedx.BOMFileFormatXML
	}
	var read cyclonedx.BOM
	if err := cyclonedx.NewBOMDecoder(bytes.NewReader(content), format).Decode(&read); err != nil {
		return Document{}, fmt.Errorf("CycloneDX: %w", err)
	}
	c := newCollector()
	addComponents(c, deref(read.Components))
	for _, d := range deref(read.Dependencies) {
		for _, id := range deref(d.Dependencies) {
			c.depends(d.Ref, id)
		}
	}
	return c.done(), nil
}

func addComponents(c *collector, components []cyclonedx.Component) {
	for _, in := range components {
		c.add(component{
			id: in.BOMRef, url: in.PackageURL, name: in.Name, version: in.Version,
			licenses: licenses(in.Licenses), groups: groups(in.Scope),
		})
		addComponents(c, deref(in.Components))
	}
}

func groups(scope cyclonedx.Scope) []string {
	switch scope {
	case cyclonedx.ScopeOptional:
		return []string{"optional"}
	case cyclonedx.ScopeExcluded:
		return []string{"dev"} // needed to build, not to run
	}
	return nil
}

func licenses(choices *cyclonedx.Licenses) (list []string) {
	if choices == nil {
		return nil
	}
	for _, choice := range *choices {
		list = append(list, choice.Expression)
		if choice.License != nil {
			list = append(list, choice.License.ID)
		}
	}
	return list
}

func deref[T any](list *[]T) []T {
	if list == nil {
		return nil
	}
	return *list
}
