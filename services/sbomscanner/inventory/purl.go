package inventory

import (
	"fmt"
	"strings"

	"github.com/google/osv-scalibr/purl"
	"github.com/google/osv-scalibr/purl/ecosystem"
	"github.com/ossf/osv-schema/bindings/go/osvconstants"
	"github.com/package-url/packageurl-go"
)

// ecosystemOf returns the OSV ecosystem of a package URL type, or an empty string. Distributions are not among them: their
// ecosystem has a release.
func ecosystemOf(kind string) osvconstants.Ecosystem {
	switch kind {
	case purl.TypeCargo:
		return osvconstants.EcosystemCratesIO
	case purl.TypeComposer:
		return osvconstants.EcosystemPackagist
	case purl.TypeConan:
		return osvconstants.EcosystemConanCenter
	case purl.TypeCran:
		return osvconstants.EcosystemCRAN
	case purl.TypeGem:
		return osvconstants.EcosystemRubyGems
	case purl.TypeGithub:
		return osvconstants.EcosystemGitHubActions
	case purl.TypeGolang:
		return osvconstants.EcosystemGo
	case purl.TypeHackage:
		return osvconstants.EcosystemHackage
	case purl.TypeHex:
		return osvconstants.EcosystemHex
	case purl.TypeJulia:
		return osvconstants.EcosystemJulia
	case purl.TypeMaven:
		return osvconstants.EcosystemMaven
	case purl.TypeNPM:
		return osvconstants.EcosystemNPM
	case purl.TypeNuget:
		return osvconstants.EcosystemNuGet
	case purl.TypeOpam:
		return osvconstants.EcosystemOpam
	case purl.TypePub:
		return osvconstants.EcosystemPub
	case purl.TypePyPi:
		return osvconstants.EcosystemPyPI
	case purl.TypeSwift:
		return osvconstants.EcosystemSwiftURL
	}
	return ""
}

// NewPackage returns the package with this package URL type (such as npm or golang), name as OSV writes it and version.
// Its package URL is canonical (ECMA-427). Qualifiers with an empty value are left out.
func NewPackage(kind, name, version string, qualifiers map[string]string) (Package, error) {
	set := map[string]string{}
	for key, value := range qualifiers {
		if value != "" {
			set[key] = value
		}
	}
	namespace, last := split(kind, name)
	url := packageurl.PackageURL{
		Type: kind, Namespace: namespace, Name: last, Version: urlVersion(kind, name, version),
		Qualifiers: packageurl.QualifiersFromMap(set),
	}
	if err := url.Normalize(); err != nil {
		return Package{}, fmt.Errorf("package %q of type %q: %w", name, kind, err)
	}
	return Package{PURL: url.ToString(), Name: name, Version: version, Ecosystem: string(ecosystemOf(url.Type))}, nil
}

// split returns the namespace and the name that a package URL of this type has for a package name.
func split(kind, name string) (namespace, last string) {
	var separator string
	switch kind {
	case purl.TypeMaven:
		separator = ":"
	case purl.TypeNPM, purl.TypeGolang, purl.TypeComposer, purl.TypeGithub, purl.TypeSwift, purl.TypeHex:
		separator = "/"
	default:
		return "", name
	}
	if i := strings.LastIndex(name, separator); i >= 0 {
		return name[:i], name[i+1:]
	}
	return "", name
}

// urlVersion is the version in a package URL: that of a Go module has the v that the go command writes and OSV does not.
func urlVersion(kind, name, version string) string {
	if kind == purl.TypeGolang && name != "stdlib" && version != "" && version[0] >= '0' && version[0] <= '9' {
		return "v" + version
	}
	return version
}

// FromPURL returns the package that a package URL of another program names. For a package of Debian, Ubuntu or Alpine
// the qualifiers distro and upstream give the release and the source package. The URL is returned in canonical form.
// Its error says what is wrong with the URL.
func FromPURL(text string) (Package, error) {
	url, err := packageurl.FromString(text)
	if err != nil {
		return Package{}, fmt.Errorf("package URL %q: %w", text, err)
	}
	p := Package{
		PURL: url.ToString(), Name: join(url.Type, url.Namespace, url.Name), Version: url.Version,
		Ecosystem: string(ecosystemOf(url.Type)),
	}
	switch url.Type {
	case purl.TypeGolang:
		p.Version = strings.TrimPrefix(p.Version, "v")
	case purl.TypeDebian, purl.TypeApk:
		p.Name = url.Name
		p.Ecosystem = Distribution(url)
		p.AdvisoryName, p.AdvisoryVersion = upstream(url.Qualifiers.Map())
	}
	return p, nil
}

// Distribution returns the OSV ecosystem with release, such as Debian:12 or Alpine:v3.20, of a package URL of type deb or
// apk, or an empty string.
func Distribution(url packageurl.PackageURL) string {
	return ecosystem.FromPURL(&purl.PackageURL{
		Type: url.Type, Namespace: url.Namespace, Name: url.Name, Version: url.Version, Qualifiers: purl.Qualifiers(url.Qualifiers),
	}).String()
}

// join is the reverse of split.
func join(kind, namespace, name string) string {
	if namespace == "" {
		return name
	}
	if kind == purl.TypeMaven {
		return namespace + ":" + name
	}
	return namespace + "/" + name
}

// upstream reads the source package from the qualifiers that this project and Syft write, and those of scalibr.
func upstream(q map[string]string) (name, version string) {
	if q["upstream"] != "" {
		name, version, _ = strings.Cut(q["upstream"], "@")
		return name, version
	}
	if q["source"] != "" {
		return q["source"], q["sourceversion"]
	}
	return q["origin"], ""
}
