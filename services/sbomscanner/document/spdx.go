package document

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"

	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
	"github.com/ironpost/ironpost/services/sbomscanner/match"
)

const (
	noAssertion                    = "NOASSERTION"
	documentID    common.ElementID = "DOCUMENT"
	assetID       common.ElementID = "Asset"
	referencePart                  = 32 // hexadecimal digits of a hash in an identifier
	foundIn                        = "found in "
)

// spdx returns the content as SPDX 2.3 (https://spdx.github.io/spdx-spec/v2.3/), without the UUID of its namespace.
func (c *content) spdx() *v2_3.Document {
	texts := map[string]string{} // licenses that are not in the list
	doc := &v2_3.Document{
		SPDXVersion: v2_3.Version, DataLicense: v2_3.DataLicense, SPDXIdentifier: documentID,
		DocumentName: cmp.Or(line(c.asset.Name), string(c.asset.Kind)), DocumentNamespace: namespace + uuid.Nil.String(),
		CreationInfo:  &v2_3.CreationInfo{Created: c.created(), Creators: []common.Creator{c.tool()}},
		Packages:      []*v2_3.Package{c.assetPackage()},
		Relationships: []*v2_3.Relationship{relationship(documentID, "DESCRIBES", assetID)},
	}
	for _, reason := range slices.Sorted(maps.Keys(c.missing)) {
		doc.DocumentComment += fmt.Sprintf("Incomplete: %d files were skipped as %s. ", c.missing[reason], reason)
	}
	doc.DocumentComment = strings.TrimSpace(doc.DocumentComment)
	for _, p := range c.packages {
		doc.Packages = append(doc.Packages, c.spdxPackage(p, texts))
		doc.Relationships = append(doc.Relationships, relationship(assetID, "CONTAINS", packageID(p.PURL)))
	}
	for _, p := range c.packages {
		for _, purl := range c.dependencies(p) {
			doc.Relationships = append(doc.Relationships, relationship(packageID(p.PURL), "DEPENDS_ON", packageID(purl)))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(texts)) {
		doc.OtherLicenses = append(doc.OtherLicenses, &v2_3.OtherLicense{LicenseIdentifier: id, ExtractedText: texts[id], LicenseName: noAssertion})
	}
	return doc
}

// created is mandatory: it is the beginning of 1970 if no input has a time.
func (c *content) created() string {
	if c.time.IsZero() {
		return time.Unix(0, 0).UTC().Format(time.RFC3339)
	}
	return c.time.Format(time.RFC3339)
}

func (c *content) tool() common.Creator {
	return common.Creator{CreatorType: "Tool", Creator: strings.TrimSuffix("ironpost-"+line(c.Version), "-")}
}

func (c *content) assetPackage() *v2_3.Package {
	purposes := map[inventory.Kind]string{inventory.Image: "CONTAINER", inventory.Document: "FILE"}
	out := &v2_3.Package{
		PackageName: cmp.Or(line(c.asset.Name), string(c.asset.Kind)), PackageSPDXIdentifier: assetID, PackageVersion: line(c.asset.Digest),
		PackageDownloadLocation: noAssertion, PrimaryPackagePurpose: cmp.Or(purposes[c.asset.Kind], "APPLICATION"),
	}
	if sum := c.digest(); sum != "" {
		out.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: sum}}
	}
	for _, container := range c.asset.Containers[:min(len(c.asset.Containers), maxNames)] {
		out.Annotations = append(out.Annotations, v2_3.Annotation{
			Annotator:      common.Annotator{AnnotatorType: "Tool", Annotator: c.tool().Creator},
			AnnotationDate: c.created(), AnnotationType: "OTHER", AnnotationComment: line("run by container " + container.ID + " " + container.Name),
		})
	}
	return out
}

func (c *content) spdxPackage(p inventory.Package, texts map[string]string) *v2_3.Package {
	out := &v2_3.Package{
		PackageName: cmp.Or(line(p.Name), "?"), PackageSPDXIdentifier: packageID(p.PURL), PackageVersion: line(p.Version),
		PackageDownloadLocation: noAssertion, PackageLicenseConcluded: noAssertion, PackageLicenseDeclared: declared(p.Licenses, texts),
		PackageCopyrightText: noAssertion, PrimaryPackagePurpose: "LIBRARY",
	}
	if found := lines(p.Locations, maxLocations); len(found) > 0 {
		out.PackageSourceInfo = foundIn + strings.Join(found, ", ")
		if n := len(p.Locations); n > maxLocations {
			out.PackageSourceInfo += fmt.Sprintf(" and %d more", n-maxLocations)
		}
	}
	var about []string
	if groups := lines(p.Groups, maxNames); len(groups) > 0 {
		about = append(about, "dependency groups: "+strings.Join(groups, ", "))
	}
	if p.Layer != "" {
		about = append(about, "layer: "+line(p.Layer))
	}
	out.PackageComment = strings.Join(about, "; ")
	if validPURL(p.PURL) {
		out.PackageExternalReferences = append(out.PackageExternalReferences, &v2_3.PackageExternalReference{
			Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: p.PURL,
		})
	}
	for _, f := range c.findings[p.PURL] {
		out.PackageExternalReferences = append(out.PackageExternalReferences, c.advisoryReference(f))
	}
	return out
}

// advisoryReference refers to a finding, with its assessment in the comment: SPDX 2.3 has no fields for it (annex K).
func (c *content) advisoryReference(f match.Finding) *v2_3.PackageExternalReference {
	severity := f.Severity.String()
	if f.Unknown {
		severity = "unknown"
	}
	about := []string{line(f.ID), "severity " + severity}
	if f.Score > 0 {
		about = append(about, fmt.Sprintf("score %.1f", f.Score))
	}
	if len(f.Fixed) > 0 {
		about = append(about, "fixed in "+strings.Join(lines(f.Fixed, maxNames), " or "))
	}
	if f.KEV {
		about = append(about, "known to be exploited")
	}
	if c.Analysis != nil {
		if a, decided := c.Analysis(f); decided {
			about = append(about, "status "+line(a.Status)+": "+line(a.Detail))
		}
	}
	return &v2_3.PackageExternalReference{
		Category: common.CategorySecurity, RefType: common.TypeSecurityAdvisory, Locator: advisory(f.ID), ExternalRefComment: strings.Join(about, ", "),
	}
}

// declared returns the licenses as one expression; text that is no expression becomes a reference to texts.
func declared(stated []string, texts map[string]string) string {
	var parts []string
	for _, text := range stated[:min(len(stated), maxLicenses)] {
		expression, _, valid := licenseExpression(text)
		switch {
		case valid && len(stated) > 1 && strings.Contains(expression, " "):
			parts = append(parts, "("+expression+")")
		case valid:
			parts = append(parts, expression)
		case line(text) != "":
			id := "LicenseRef-" + hash(text)[:referencePart]
			texts[id] = line(text)
			parts = append(parts, id)
		}
	}
	return cmp.Or(strings.Join(parts, " AND "), noAssertion)
}

func packageID(purl string) common.ElementID {
	return common.ElementID("Package-" + hash(purl)[:referencePart])
}

func relationship(from common.ElementID, kind string, to common.ElementID) *v2_3.Relationship {
	return &v2_3.Relationship{
		RefA: common.DocElementID{ElementRefID: from}, RefB: common.DocElementID{ElementRefID: to}, Relationship: kind,
	}
}
