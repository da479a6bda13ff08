// Package document writes inventories as SBOM documents, CycloneDX 1.6 and SPDX 2.3 in JSON, and keeps them in a folder.
//
// The same inventory, findings and options give the same bytes: the serial number is derived from the content, the time is that
// of the inputs. What an asset says about itself (names, versions, paths, licenses) is text that anyone may have written: what
// is not printable or not UTF-8 becomes "?", long text is cut, and a package URL that is no valid one is replaced by a reference
// made of its hash. So every inventory gives a document that its schema accepts and that a terminal may show.
package document

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
	"github.com/ironpost/ironpost/services/sbomscanner/match"
)

// Format is a format of documents.
type Format string

// The formats, as output_format in the configuration names them.
const (
	CycloneDX Format = "cyclonedx" // 1.6, JSON
	SPDX      Format = "spdx"      // 2.3, JSON
)

// Extension returns the end of a file's name by which other programs recognise the format, such as ".cdx.json".
func (f Format) Extension() string {
	if f == SPDX {
		return ".spdx.json"
	}
	return ".cdx.json"
}

// Options is what a document says beside the inventory.
type Options struct {
	// Version is that of Ironpost, the tool that wrote the document; empty if unknown.
	Version string
	// Findings adds the vulnerabilities of the packages; nil leaves them out.
	Findings *match.Result
	// Analysis returns what is decided about a finding, and whether something is (VEX); nil if nothing is. SPDX 2.3 has no place
	// for it but a comment.
	Analysis func(match.Finding) (Analysis, bool)
}

// Analysis is a decision about a finding in the words of OpenVEX (https://github.com/openvex/spec).
type Analysis struct {
	Status        string // not_affected, affected, fixed, under_investigation; any other, such as ignored, is not stated in CycloneDX
	Justification string // of not_affected, such as vulnerable_code_not_present; empty if there is none
	Detail        string // the reason in a sentence
}

// Write writes the inventory as a document to w, one line of JSON. It changes neither inventory nor findings. The error is that
// of w, or says that the format is unknown.
func Write(w io.Writer, f Format, inv *inventory.Inventory, o Options) error {
	raw, err := Encode(f, inv, o)
	if err != nil {
		return err
	}
	_, err = w.Write(raw)
	return err
}

// Encode is Write to memory. A package takes about 1 KB.
func Encode(f Format, inv *inventory.Inventory, o Options) ([]byte, error) {
	c := newContent(inv, o)
	switch f {
	case CycloneDX:
		return encode(c.bom(), `"serialNumber":"urn:uuid:`)
	case SPDX:
		return encode(c.spdx(), `"documentNamespace":"`+namespace)
	}
	return nil, fmt.Errorf("format of SBOM documents %q is none of %s, %s", f, CycloneDX, SPDX)
}

// namespace is the beginning of the namespace of SPDX documents, and of the name space of their UUIDs.
const namespace = "https://github.com/ironpost/ironpost/sbom/"

// encode returns v as JSON with a UUID of version 5 (RFC 9562, 5.5) made of everything else in it. The UUID, zero in v, stands
// after before: a key, which cannot occur in a string, where its quotes would be escaped.
func encode(v any, before string) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	raw := event.PrintableJSON(b.Bytes())
	id := uuid.NewSHA1(uuid.NewSHA1(uuid.NameSpaceURL, []byte(namespace)), raw)
	return bytes.Replace(raw, []byte(before+uuid.Nil.String()), []byte(before+id.String()), 1), nil
}

// content is an inventory with what both formats need of it.
type content struct {
	Options

	asset    inventory.Asset
	packages []inventory.Package // sorted, each once
	known    map[string]bool     // package URLs in packages
	findings map[string][]match.Finding
	missing  map[string]int // what was not read, by reason
	time     time.Time
}

func newContent(inv *inventory.Inventory, o Options) *content {
	sorted := inventory.Inventory{Packages: slices.Clone(inv.Packages)}
	sorted.Sort()
	c := &content{
		Options: o, asset: inv.Asset, packages: sorted.Packages, known: make(map[string]bool, len(sorted.Packages)),
		findings: map[string][]match.Finding{}, missing: map[string]int{}, time: statable(inv.Time),
	}
	for _, p := range c.packages {
		c.known[p.PURL] = true
	}
	for reason, n := range inv.Skipped {
		c.missing[line(reason)] += n
	}
	if len(inv.Skipped) == 0 && len(inv.Problems) > 0 { // problems are among what was skipped
		c.missing["unreadable"] = len(inv.Problems)
	}
	if o.Findings != nil {
		for _, f := range o.Findings.Findings {
			same := func(g match.Finding) bool { return g.ID == f.ID }
			if !slices.ContainsFunc(c.findings[f.PURL], same) {
				c.findings[f.PURL] = append(c.findings[f.PURL], f)
			}
		}
	}
	return c
}

// statable returns t to the second, or zero if RFC 3339 cannot write it: a tar archive may state any year.
func statable(t time.Time) time.Time {
	if t = t.UTC().Truncate(time.Second); t.Year() < 1970 || t.Year() > 9999 {
		return time.Time{}
	}
	return t
}

// roots returns the packages that no other package depends on: those that the asset needs by itself, as far as is known.
func (c *content) roots() []string {
	needed := map[string]bool{}
	for _, p := range c.packages {
		for _, purl := range p.DependsOn {
			needed[purl] = needed[purl] || purl != p.PURL
		}
	}
	var out []string
	for _, p := range c.packages {
		if !needed[p.PURL] {
			out = append(out, p.PURL)
		}
	}
	return out
}

// dependencies returns the packages of the inventory that p depends on, sorted, each once.
func (c *content) dependencies(p inventory.Package) []string {
	out := slices.Sorted(slices.Values(p.DependsOn))
	return slices.DeleteFunc(slices.Compact(out), func(purl string) bool { return purl == p.PURL || !c.known[purl] })
}

// digest returns the hexadecimal SHA-256 of the asset, or "" if it has none.
func (c *content) digest() string {
	if m := digestForm.FindStringSubmatch(c.asset.Digest); m != nil {
		return m[1]
	}
	return ""
}
