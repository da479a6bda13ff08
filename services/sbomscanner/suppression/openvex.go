package suppression

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/package-url/packageurl-go"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/setting"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

const (
	maxDocument   = 8 << 20
	maxStatements = 20_000
	maxProducts   = 100_000 // of all statements of one document, with their subcomponents
	maxNames      = 64      // of one vulnerability
)

// openVEX is a document as OpenVEX 0.2.0 has it (https://github.com/openvex/spec/blob/main/OPENVEX-SPEC.md), and 0.0.1, in
// which vulnerabilities, products and subcomponents are strings.
type openVEX struct {
	Context    string         `json:"@context"`
	Timestamp  time.Time      `json:"timestamp"`
	Statements []vexStatement `json:"statements"`
}

type vexStatement struct {
	Vulnerability vexVulnerability `json:"vulnerability"`
	Products      []vexProduct     `json:"products"`
	Subcomponents []vexProduct     `json:"subcomponents"` // 0.0.1
	Status        string           `json:"status"`
	Justification string           `json:"justification"`
	Impact        string           `json:"impact_statement"`
	Notes         string           `json:"status_notes"`
	Timestamp     time.Time        `json:"timestamp"`
	LastUpdated   time.Time        `json:"last_updated"`
}

type vexVulnerability struct {
	ID      string   `json:"@id"`
	Name    string   `json:"name"`
	Aliases []string `json:"aliases"`
}

// UnmarshalJSON implements json.Unmarshaler.
func (v *vexVulnerability) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, &v.Name)
	}
	type plain vexVulnerability
	return json.Unmarshal(data, (*plain)(v))
}

type vexProduct struct {
	ID            string            `json:"@id"`
	Identifiers   map[string]string `json:"identifiers"`
	Subcomponents []vexProduct      `json:"subcomponents"`
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *vexProduct) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, &p.ID)
	}
	type plain vexProduct
	return json.Unmarshal(data, (*plain)(p))
}

// name returns the package URL of p if it has one, else its id.
func (p vexProduct) name() string {
	if purl := p.Identifiers["purl"]; purl != "" {
		return purl
	}
	return p.ID
}

// statement is what a document says about one vulnerability.
type statement struct {
	Suppression

	names    []string
	products []product
	time     time.Time
	order    int // of the document
}

// product is what a statement is about: a package; or packages within an asset.
type product struct {
	name     component
	packages []component
}

// component is a package URL, or another name.
type component struct {
	text string
	purl *packageurl.PackageURL
}

func componentOf(text string) component {
	c := component{text: text}
	if p, err := packageurl.FromString(text); err == nil {
		c.purl = &p
	}
	return c
}

// newestFirst orders statements; of two with the same time the one of the later document, then the later one in it, is first.
func newestFirst(a, b statement) int {
	if c := b.time.Compare(a.time); c != 0 {
		return c
	}
	return b.order - a.order
}

// suppresses reports whether s says that nothing is to be done.
func (s statement) suppresses() bool { return s.Status == "not_affected" || s.Status == "fixed" }

// about reports whether s is about the package of f, in its asset. A statement that names no product is about none.
func (s statement) about(f Finding) bool {
	found, err := packageurl.FromString(f.PURL)
	if err != nil {
		return false
	}
	for _, p := range s.products {
		if len(p.packages) == 0 && p.name.isPackage(found) {
			return true
		}
		for _, c := range p.packages {
			if c.isPackage(found) && p.name.isAsset(f.Asset) {
				return true
			}
		}
	}
	return false
}

// isPackage reports whether c is the package found: one without a version is every version, and qualifiers that it does not
// have may be anything.
func (c component) isPackage(found packageurl.PackageURL) bool {
	p := c.purl
	if p == nil || p.Type != found.Type || p.Namespace != found.Namespace || p.Name != found.Name || p.Version != "" && p.Version != found.Version {
		return false
	}
	has := found.Qualifiers.Map()
	for key, value := range p.Qualifiers.Map() {
		if has[key] != value {
			return false
		}
	}
	return true
}

// isAsset reports whether c is the asset: its name, or for an image pkg:oci/… or pkg:docker/… with the last part of its repository's
// name, and its digest and tag if they are given.
func (c component) isAsset(asset inventory.Asset) bool {
	if c.text == asset.Name || c.text == asset.Key() {
		return true
	}
	p := c.purl
	if p == nil || asset.Kind != inventory.Image || p.Type != "oci" && p.Type != "docker" {
		return false
	}
	reference, digest, _ := strings.Cut(asset.Name, "@")
	repository, tag := reference, "latest"
	if at := strings.LastIndexByte(reference, ':'); at > strings.LastIndexByte(reference, '/') {
		repository, tag = reference[:at], reference[at+1:]
	}
	if path.Base(repository) != p.Name {
		return false
	}
	wanted := p.Qualifiers.Map()["tag"]
	if p.Type == "docker" && !strings.HasPrefix(p.Version, "sha256:") {
		wanted = p.Version
	} else if p.Version != "" && p.Version != digest && p.Version != asset.Digest {
		return false
	}
	return wanted == "" || wanted == tag
}

// parseOpenVEX returns the statements of a document, the last one first.
func parseOpenVEX(file string, data []byte) ([]statement, error) {
	var doc openVEX
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(doc.Context, "https://openvex.dev/ns") {
		return nil, fmt.Errorf("@context is %s, must be https://openvex.dev/ns/v0.2.0", setting.Shown(doc.Context))
	}
	if len(doc.Statements) > maxStatements {
		return nil, fmt.Errorf("has %d statements, allowed are %d", len(doc.Statements), maxStatements)
	}
	var out []statement
	products := 0
	for i, v := range slices.Backward(doc.Statements) {
		s, err := v.read(file, doc.Timestamp)
		if err != nil {
			return nil, fmt.Errorf("statement %d: %w", i+1, err)
		}
		for _, p := range s.products {
			products += 1 + len(p.packages)
		}
		if products > maxProducts {
			return nil, fmt.Errorf("names more than %d products", maxProducts)
		}
		out = append(out, s)
	}
	return out, nil
}

func (v vexStatement) read(file string, issued time.Time) (statement, error) {
	s := statement{time: issued, Suppression: Suppression{Source: file, Status: v.Status, Reason: v.reason()}}
	if what := setting.OneOf(v.Status, "not_affected", "affected", "fixed", "under_investigation"); what != "" {
		return s, errors.New("status " + what)
	}
	if v.Status == "not_affected" && v.Justification == "" && v.Impact == "" {
		return s, errors.New("not_affected needs a justification or an impact_statement")
	}
	for _, at := range []time.Time{v.Timestamp, v.LastUpdated} {
		if !at.IsZero() {
			s.time = at
		}
	}
	for _, name := range append([]string{v.Vulnerability.Name, path.Base(v.Vulnerability.ID)}, v.Vulnerability.Aliases...) {
		if name != "" && name != "." && len(s.names) < maxNames && len(name) <= maxText {
			s.names = append(s.names, name)
		}
	}
	if len(s.names) == 0 {
		return s, errors.New("names no vulnerability")
	}
	for _, p := range v.Products {
		one := product{name: componentOf(p.name())}
		for _, c := range append(p.Subcomponents, v.Subcomponents...) {
			one.packages = append(one.packages, componentOf(c.name()))
		}
		s.products = append(s.products, one)
	}
	return s, nil
}

// reason returns what the statement says why, as one line.
func (v vexStatement) reason() string {
	var parts []string
	for _, part := range []string{v.Justification, v.Impact, v.Notes} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return event.Printable(strings.Join(parts, ": "), maxText)
}
