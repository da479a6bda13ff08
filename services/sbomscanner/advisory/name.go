package advisory

import "strings"

// gitEcosystem is what OSV calls records about commits instead of packages. They are found by id only.
const gitEcosystem = "GIT"

const maxEcosystemName = 64

// Base returns the ecosystem without its suffix: Debian for Debian:12. Advisories are kept by base.
func Base(ecosystem string) string {
	base, _, _ := strings.Cut(ecosystem, ":")
	return base
}

// Normalize returns the form in which package names of the ecosystem are compared: PyPI names as PEP 503 says, names of
// registries that ignore case in lower case, all others as they are.
func Normalize(ecosystem, name string) string {
	switch Base(ecosystem) {
	case "PyPI":
		return normalizePython(name)
	case "NuGet", "Packagist", "GitHub Actions", "SwiftURL", "VSCode":
		return strings.ToLower(name)
	}
	return name
}

// normalizePython lowers the case and makes each run of dots, hyphens and underscores one hyphen.
func normalizePython(name string) string {
	if normalizedPython(name) {
		return name
	}
	b := make([]byte, 0, len(name))
	for i := range len(name) {
		c := name[i]
		switch {
		case c == '.' || c == '_' || c == '-':
			if len(b) > 0 && b[len(b)-1] == '-' && isSeparator(name[i-1]) {
				continue
			}
			c = '-'
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		b = append(b, c)
	}
	return string(b)
}

func normalizedPython(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c == '.' || c == '_' || 'A' <= c && c <= 'Z' || c == '-' && i > 0 && name[i-1] == '-' {
			return false
		}
	}
	return true
}

func isSeparator(c byte) bool { return c == '.' || c == '_' || c == '-' }

// validEcosystem reports whether a base name may become part of a file name.
func validEcosystem(base string) bool {
	if base == "" || len(base) > maxEcosystemName || base[0] == '.' || base[0] == ' ' {
		return false
	}
	for i := range len(base) {
		c := base[i]
		ok := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(" ._-", c) >= 0
		if !ok {
			return false
		}
	}
	return true
}
