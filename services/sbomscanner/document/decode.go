package document

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// Decode reads back a document that Encode wrote: the asset, the time, and of the packages the package URL, name, version,
// licenses, locations and dependencies. It is for the documents in a Folder; those of other programs are read by package extract.
// The error says what raw is not.
func Decode(raw []byte) (*inventory.Inventory, error) {
	var head struct {
		BOMFormat   string `json:"bomFormat"`
		SPDXVersion string `json:"spdxVersion"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	switch {
	case head.BOMFormat == "CycloneDX":
		return decodeCycloneDX(raw)
	case strings.HasPrefix(head.SPDXVersion, "SPDX-2."):
		return decodeSPDX(raw)
	}
	return nil, errors.New("neither CycloneDX nor SPDX 2")
}

// cycloneDX is what Decode reads of a CycloneDX document.
type cycloneDX struct {
	Metadata struct {
		Timestamp time.Time `json:"timestamp"`
		Component struct {
			Type    string `json:"type"`
			Name    string `json:"name"`
			Version string `json:"version"`
		} `json:"component"`
	} `json:"metadata"`
	Components []struct {
		Ref      string `json:"bom-ref"`
		PURL     string `json:"purl"`
		Name     string `json:"name"`
		Version  string `json:"version"`
		Licenses []struct {
			Expression string `json:"expression"`
			License    struct {
				ID   string `json:"id"`
				Name string `json:"name"`
			} `json:"license"`
		} `json:"licenses"`
		Evidence struct {
			Occurrences []struct {
				Location string `json:"location"`
			} `json:"occurrences"`
		} `json:"evidence"`
	} `json:"components"`
	Dependencies []struct {
		Ref       string   `json:"ref"`
		DependsOn []string `json:"dependsOn"`
	} `json:"dependencies"`
}

func decodeCycloneDX(raw []byte) (*inventory.Inventory, error) {
	var doc cycloneDX
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("not CycloneDX: %w", err)
	}
	about := doc.Metadata.Component
	kinds := map[string]inventory.Kind{"container": inventory.Image, "file": inventory.Document}
	inv := &inventory.Inventory{
		Asset: inventory.Asset{Kind: cmp.Or(kinds[about.Type], inventory.Directory), Name: about.Name, Digest: about.Version}, Time: doc.Metadata.Timestamp,
	}
	needed := map[string][]string{}
	for _, d := range doc.Dependencies {
		needed[d.Ref] = d.DependsOn
	}
	for _, c := range doc.Components {
		p := inventory.Package{PURL: cmp.Or(c.PURL, c.Ref), Name: c.Name, Version: c.Version, DependsOn: needed[c.Ref]}
		for _, l := range c.Licenses {
			p.Licenses = append(p.Licenses, cmp.Or(l.Expression, l.License.ID, l.License.Name))
		}
		for _, o := range c.Evidence.Occurrences {
			p.Locations = append(p.Locations, o.Location)
		}
		inv.Packages = append(inv.Packages, p)
	}
	inv.Sort()
	return inv, nil
}

// spdxDocument is what Decode reads of an SPDX document.
type spdxDocument struct {
	CreationInfo struct {
		Created time.Time `json:"created"`
	} `json:"creationInfo"`
	Packages []struct {
		ID           string `json:"SPDXID"`
		Name         string `json:"name"`
		Version      string `json:"versionInfo"`
		Purpose      string `json:"primaryPackagePurpose"`
		License      string `json:"licenseDeclared"`
		SourceInfo   string `json:"sourceInfo"`
		ExternalRefs []struct {
			Type    string `json:"referenceType"`
			Locator string `json:"referenceLocator"`
		} `json:"externalRefs"`
	} `json:"packages"`
	Relationships []struct {
		From string `json:"spdxElementId"`
		Type string `json:"relationshipType"`
		To   string `json:"relatedSpdxElement"`
	} `json:"relationships"`
}

func decodeSPDX(raw []byte) (*inventory.Inventory, error) {
	var doc spdxDocument
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("not SPDX: %w", err)
	}
	inv := &inventory.Inventory{}
	if created := doc.CreationInfo.Created; created.Unix() != 0 {
		inv.Time = created
	}
	purls := map[string]string{} // by SPDX id
	kinds := map[string]inventory.Kind{"CONTAINER": inventory.Image, "FILE": inventory.Document}
	for _, d := range doc.Packages {
		if d.ID == "SPDXRef-"+string(assetID) {
			inv.Asset = inventory.Asset{Kind: cmp.Or(kinds[d.Purpose], inventory.Directory), Name: d.Name, Digest: d.Version}
			continue
		}
		p := inventory.Package{PURL: d.ID, Name: d.Name, Version: d.Version}
		for _, r := range d.ExternalRefs {
			if r.Type == "purl" {
				p.PURL = r.Locator
			}
		}
		if d.License != "" && d.License != noAssertion {
			p.Licenses = []string{d.License}
		}
		if found, ok := strings.CutPrefix(d.SourceInfo, foundIn); ok {
			p.Locations = strings.Split(found, ", ")
		}
		purls[d.ID] = p.PURL
		inv.Packages = append(inv.Packages, p)
	}
	needed := map[string][]string{}
	for _, r := range doc.Relationships {
		if to := purls[r.To]; r.Type == "DEPENDS_ON" && to != "" {
			needed[purls[r.From]] = append(needed[purls[r.From]], to)
		}
	}
	for i, p := range inv.Packages {
		inv.Packages[i].DependsOn = slices.Sorted(slices.Values(needed[p.PURL]))
	}
	inv.Sort()
	return inv, nil
}
