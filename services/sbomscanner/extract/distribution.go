package extract

import (
	"strings"

	scalibr "github.com/google/osv-scalibr/extractor"
	"github.com/package-url/packageurl-go"

	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// distribution is what a package database and os-release(5) say of all packages of a distribution.
type distribution struct{ kind, id, version, arch string }

// distributionPackage returns a package of dpkg or apk. Its package URL has the qualifiers that other SBOM tools read:
// arch, distro (id-version) and upstream, the source package.
func distributionPackage(p *scalibr.Package, d distribution) (inventory.Package, error) {
	name, version := source(p)
	url := packageurl.PackageURL{
		Type: d.kind, Namespace: d.namespace(), Name: p.Name, Version: p.Version,
		Qualifiers: packageurl.Qualifiers{},
	}
	for _, q := range [...]packageurl.Qualifier{
		{Key: "arch", Value: d.arch}, {Key: "distro", Value: d.release()}, {Key: "upstream", Value: upstream(p.Name, name, version)},
	} {
		if q.Value != "" {
			url.Qualifiers = append(url.Qualifiers, q)
		}
	}
	if err := url.Normalize(); err != nil {
		return inventory.Package{}, err
	}
	ecosystem := inventory.Distribution(url)
	if ecosystem == "" || !strings.Contains(ecosystem, ":") {
		ecosystem = p.Ecosystem().String() // those without releases, such as Wolfi
	}
	return inventory.Package{
		PURL: url.ToString(), Name: p.Name, Version: p.Version, Ecosystem: ecosystem,
		AdvisoryName: name, AdvisoryVersion: version,
	}, nil
}

// namespace is the id of the distribution, or that of the one whose package format it is.
func (d distribution) namespace() string {
	switch {
	case d.id != "":
		return d.id
	case d.kind == "apk":
		return "alpine"
	}
	return "debian"
}

func (d distribution) release() string {
	if d.id == "" || d.version == "" {
		return d.id
	}
	return d.id + "-" + d.version
}

// upstream is the source package, as name or name@version, where it differs from the package.
func upstream(packageName, name, version string) string {
	if version == "" {
		return name
	}
	if name == "" {
		name = packageName
	}
	return name + "@" + version
}
