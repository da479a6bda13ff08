package bom

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxLine bounds a line of a tag-value document.
const maxLine = 1 << 20

// spdxDocument has the fields of SPDX 2 that are read.
type spdxDocument struct {
	Packages      []spdxPackage      `json:"packages"`
	Relationships []spdxRelationship `json:"relationships"`
	Describes     []string           `json:"documentDescribes"` // an older form of the relationship DESCRIBES
}

type spdxPackage struct {
	ID        string          `json:"SPDXID"`
	Name      string          `json:"name"`
	Version   string          `json:"versionInfo"`
	Declared  string          `json:"licenseDeclared"`
	Concluded string          `json:"licenseConcluded"`
	Refs      []spdxReference `json:"externalRefs"`
}

type spdxReference struct {
	Type    string `json:"referenceType"`
	Locator string `json:"referenceLocator"`
}

type spdxRelationship struct {
	From string `json:"spdxElementId"`
	Type string `json:"relationshipType"`
	To   string `json:"relatedSpdxElement"`
}

func readSPDX(content []byte) (Document, error) {
	var read spdxDocument
	if err := json.Unmarshal(content, &read); err != nil {
		return Document{}, fmt.Errorf("SPDX: %w", err)
	}
	return read.document(), nil
}

func (d spdxDocument) document() Document {
	c := newCollector()
	subject := d.subject()
	for _, p := range d.Packages {
		if p.ID == subject && p.url() == "" {
			continue // a folder or an image, not a package in it
		}
		c.add(component{id: p.ID, url: p.url(), name: p.Name, version: p.Version, licenses: []string{p.license()}})
	}
	for _, r := range d.Relationships {
		switch r.Type {
		case "DEPENDS_ON":
			c.depends(r.From, r.To)
		case "DEPENDENCY_OF":
			c.depends(r.To, r.From)
		}
	}
	return c.done()
}

// subject returns the id of what the document is about, if that is one element: some programs say so of every package.
func (d spdxDocument) subject() string {
	ids := d.Describes
	for _, r := range d.Relationships {
		if r.Type == "DESCRIBES" && r.From == "SPDXRef-DOCUMENT" {
			ids = append(ids, r.To)
		}
	}
	slices.Sort(ids)
	if ids = slices.Compact(ids); len(ids) != 1 {
		return ""
	}
	return ids[0]
}

func (p spdxPackage) url() string {
	for _, r := range p.Refs {
		if r.Type == "purl" || strings.HasSuffix(r.Type, "/purl") {
			return r.Locator
		}
	}
	return ""
}

func (p spdxPackage) license() string {
	for _, license := range []string{p.Declared, p.Concluded} {
		if license != "" && license != "NOASSERTION" && license != "NONE" {
			return license
		}
	}
	return ""
}

// readTagValue reads the tag-value form of SPDX 2, one "Tag: value" a line; a value between <text> and </text> may
// span lines.
func readTagValue(content []byte) (Document, error) {
	var read spdxDocument
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, maxLine)
	inText := false
	for lines.Scan() {
		tag, value, ok := strings.Cut(lines.Text(), ":")
		if inText || strings.Contains(value, "<text>") {
			inText = !strings.Contains(lines.Text(), "</text>")
			continue
		}
		if ok {
			read.tag(strings.TrimSpace(tag), strings.TrimSpace(value))
		}
	}
	if err := lines.Err(); err != nil {
		return Document{}, fmt.Errorf("SPDX tag-value: %w", err)
	}
	if inText {
		return Document{}, errors.New("SPDX tag-value: <text> is not closed")
	}
	return read.document(), nil
}

func (d *spdxDocument) tag(tag, value string) {
	switch tag {
	case "PackageName":
		d.Packages = append(d.Packages, spdxPackage{Name: value})
	case "Relationship":
		if words := strings.Fields(value); len(words) == 3 {
			d.Relationships = append(d.Relationships, spdxRelationship{words[0], words[1], words[2]})
		}
	}
	if len(d.Packages) == 0 {
		return
	}
	p := &d.Packages[len(d.Packages)-1]
	switch tag {
	case "SPDXID":
		p.ID = value
	case "PackageVersion":
		p.Version = value
	case "PackageLicenseDeclared":
		p.Declared = value
	case "PackageLicenseConcluded":
		p.Concluded = value
	case "ExternalRef":
		if words := strings.Fields(value); len(words) == 3 {
			p.Refs = append(p.Refs, spdxReference{Type: words[1], Locator: words[2]})
		}
	}
}
