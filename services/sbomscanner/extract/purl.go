package extract

import (
	"strings"

	scalibr "github.com/google/osv-scalibr/extractor"
	apk "github.com/google/osv-scalibr/extractor/filesystem/os/apk/metadata"
	dpkg "github.com/google/osv-scalibr/extractor/filesystem/os/dpkg/metadata"
	"github.com/google/osv-scalibr/purl"
	distribution "github.com/google/osv-scalibr/purl/ecosystem"
	"github.com/package-url/packageurl-go"
)

// packageURL returns the canonical package URL (ECMA-427) of p, or false if p has no usable name. Qualifiers are those
// that other SBOM tools read: arch, distro (id-version) and upstream for packages of distributions.
func packageURL(p *scalibr.Package) (string, bool) {
	if len(p.Name) > maxText || len(p.Version) > maxText {
		return "", false
	}
	made := p.PURL()
	if made == nil || made.Name == "" {
		return "", false
	}
	url := packageurl.PackageURL{
		Type: made.Type, Namespace: made.Namespace, Name: made.Name, Version: made.Version,
		Qualifiers: packageurl.Qualifiers(made.Qualifiers), Subpath: made.Subpath,
	}
	switch p.PURLType {
	case purl.TypeMaven:
		if group, artifact, ok := strings.Cut(p.Name, ":"); ok {
			url.Namespace, url.Name = group, artifact // case matters in Maven
		}
	case purl.TypeGolang:
		if p.Name != "stdlib" && startsWithDigit(url.Version) {
			url.Version = "v" + url.Version // as the go command writes it
		}
	}
	if q := distributionQualifiers(p); q != nil {
		url.Qualifiers = packageurl.QualifiersFromMap(q)
	}
	if err := url.Normalize(); err != nil {
		return "", false
	}
	return url.ToString(), true
}

func startsWithDigit(s string) bool { return s != "" && s[0] >= '0' && s[0] <= '9' }

func distributionQualifiers(p *scalibr.Package) map[string]string {
	q := map[string]string{}
	switch m := p.Metadata.(type) {
	case *dpkg.Metadata:
		q["arch"], q["distro"], q["upstream"] = m.Architecture, distro(m.OSID, m.OSVersionID), upstream(p)
	case *apk.Metadata:
		q["arch"], q["distro"], q["upstream"] = m.Architecture, distro(m.OSID, m.OSVersionID), upstream(p)
	default:
		return nil
	}
	for key, value := range q {
		if value == "" {
			delete(q, key)
		}
	}
	return q
}

// distro is the value of the qualifier for an id and version of os-release(5), such as debian-12.
func distro(id, version string) string {
	if id == "" || version == "" {
		return id
	}
	return id + "-" + version
}

// upstream is the source package, name@version, where it differs from the package.
func upstream(p *scalibr.Package) string {
	name, version := source(p)
	switch {
	case version == "":
		return name
	case name == "":
		return p.Name + "@" + version
	}
	return name + "@" + version
}

// ecosystem returns the OSV ecosystem of p. Those of Debian, Ubuntu and Alpine follow from the package URL, which
// has the release as OSV spells it (Ubuntu:22.04:LTS).
func ecosystem(p *scalibr.Package, url string) string {
	if p.PURLType == purl.TypeDebian || p.PURLType == purl.TypeApk {
		if made, err := purl.FromString(url); err == nil {
			if found := distribution.FromPURL(&made); found.Suffix != "" {
				return found.String()
			}
		}
	}
	return p.Ecosystem().String()
}
