package advisory

import "strings"

// knownEcosystem reports whether a folder's name is that of an ecosystem of the OSV schema, by which an all.zip in it is known.
func knownEcosystem(name string) bool {
	for known := range strings.SplitSeq(ecosystems, "\n") {
		if name == known {
			return true
		}
	}
	return false
}

// ecosystems are those of the OSV schema 1.8 (https://ossf.github.io/osv-schema/#defined-ecosystems) and GIT.
const ecosystems = `AlmaLinux
Alpaquita
Alpine
Android
Azure Linux
BellSoft Hardened Containers
Bioconductor
Bitnami
Chainguard
CleanStart
ConanCenter
CRAN
crates.io
Debian
Docker Hardened Images
Echo
FreeBSD
GHC
GIT
GitHub Actions
Go
Hackage
Hex
Homebrew
Julia
Kubernetes
Linux
Mageia
Maven
MinimOS
npm
NuGet
opam
openEuler
openSUSE
OpenHarmony
OSS-Fuzz
Packagist
Photon OS
Pub
PyPI
Red Hat
Rocky Linux
Root
RubyGems
SUSE
SwiftURL
TuxCare
Ubuntu
vcpkg
VSCode
Wolfi`
