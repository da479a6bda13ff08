package osvscanner

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/package-url/packageurl-go"

	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// key is how a package of one engine is found in the other: package URLs differ in qualifiers.
type key struct{ ecosystem, name, version string }

func newKey(ecosystem, name, version string) key {
	base := advisory.Base(ecosystem)
	return key{base, advisory.Normalize(base, name), strings.TrimPrefix(version, "v")}
}

// keyOf is the key of a package under the name and version that advisories use.
func keyOf(p *inventory.Package) key {
	return newKey(p.Ecosystem, cmp.Or(p.AdvisoryName, p.Name), cmp.Or(p.AdvisoryVersion, p.Version))
}

func (p *Package) key() key { return newKey(p.Ecosystem, p.Name, p.Version) }

// sourceURL is the package URL of p with the name and version that advisories use.
func sourceURL(p *inventory.Package) (string, error) {
	if p.AdvisoryName == "" && p.AdvisoryVersion == "" {
		return p.PURL, nil
	}
	url, err := packageurl.FromString(p.PURL)
	if err != nil {
		return "", fmt.Errorf("package URL %q: %w", p.PURL, err)
	}
	url.Name, url.Version = cmp.Or(p.AdvisoryName, url.Name), cmp.Or(p.AdvisoryVersion, url.Version)
	return url.ToString(), nil
}
