package match

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// subject is a package as advisories see it.
type subject struct {
	base, suffix  string // of the ecosystem: Debian and 12 in Debian:12
	name, version string
}

// hit is an advisory that affects a package, with its entries that name the package.
type hit struct {
	*advisory.Advisory
	entries []*advisory.Affected
}

func newSubject(p *inventory.Package) subject {
	base, suffix, _ := strings.Cut(p.Ecosystem, ":")
	s := subject{base: base, suffix: suffix, name: advisoryName(base, cmp.Or(p.AdvisoryName, p.Name))}
	s.version = cmp.Or(p.AdvisoryVersion, p.Version)
	if base == "Go" && (s.name == "stdlib" || s.name == "toolchain") {
		s.version = goVersion(s.version)
	}
	return s
}

// hits returns the advisories that affect s. It reports whether one of the others could not be decided.
func (s *subject) hits(r *reader, candidates []*advisory.Advisory) (hits []hit, unreadable bool) {
	for _, a := range candidates {
		if !a.Withdrawn.IsZero() {
			continue
		}
		h := hit{Advisory: a}
		affected, readable := false, true
		for i := range a.Affected {
			entry := &a.Affected[i]
			if !s.named(entry) {
				continue
			}
			h.entries = append(h.entries, entry)
			in, ok := r.includes(entry, s.base, s.version)
			affected = affected || in
			readable = readable && ok
		}
		switch {
		case affected:
			hits = append(hits, h)
		case !readable:
			unreadable = true
		}
	}
	return hits, unreadable
}

// chosen returns the advisories with one of ids, with their entries about s.
func (s *subject) chosen(candidates []*advisory.Advisory, ids []string) (hits []hit) {
	for _, a := range candidates {
		if !slices.Contains(ids, a.ID) {
			continue
		}
		h := hit{Advisory: a}
		for i := range a.Affected {
			if s.named(&a.Affected[i]) {
				h.entries = append(h.entries, &a.Affected[i])
			}
		}
		hits = append(hits, h)
	}
	return hits
}

// named reports whether entry is about the package: the same name in the same ecosystem. A suffix counts only if both have
// one, so that nothing is missed where a distribution's release is not known.
func (s *subject) named(entry *advisory.Affected) bool {
	base, suffix, _ := strings.Cut(entry.Ecosystem, ":")
	if base != s.base || advisory.Normalize(base, entry.Name) != s.name {
		return false
	}
	return suffix == "" || s.suffix == "" || sameRelease(base, suffix, s.suffix)
}

// sameRelease compares the suffixes of two ecosystems. Ubuntu writes one release as 22.04, 22.04:LTS and, where only Ubuntu Pro
// gets the fix, Pro:22.04:LTS; its other variants (FIPS, Realtime) have packages of their own.
func sameRelease(base, a, b string) bool {
	if base == "Ubuntu" {
		return ubuntuRelease(a) == ubuntuRelease(b)
	}
	return a == b
}

func ubuntuRelease(suffix string) string {
	return strings.TrimPrefix(strings.TrimSuffix(suffix, ":LTS"), "Pro:")
}

// advisoryName is name as advisories have it, normalized. The Go vulnerability database calls the Go distribution stdlib.
func advisoryName(base, name string) string {
	if base == "Go" && name == "go" {
		return "stdlib"
	}
	return advisory.Normalize(base, name)
}

// goRelease is a version of the Go distribution, such as go1.21rc2 or 1.21.3.
var goRelease = regexp.MustCompile(`^(?:go|v)?(\d+\.\d+)(\.\d+)?(?:-?(rc|beta)\.?(\d+))?`)

// goVersion writes a version of the Go distribution as semantic version, as the Go vulnerability database does: go1.21rc2 is
// 1.21.0-rc.2. Other text stays as it is.
func goVersion(version string) string {
	m := goRelease.FindStringSubmatch(version)
	if m == nil {
		return version
	}
	v := m[1] + cmp.Or(m[2], ".0")
	if m[3] != "" {
		v += "-" + m[3] + "." + m[4]
	}
	return v
}

// fixed returns the versions that end what hits describe, the nearest one first: those that no hit affects. If the advisories
// disagree, so that none is left, it returns all that one of them calls fixed.
func (s *subject) fixed(r *reader, hits []hit) []string {
	var candidates []version
	for _, h := range hits {
		for _, entry := range h.entries {
			candidates = append(candidates, r.laterFixes(entry, s.base, s.version)...)
		}
	}
	sortVersions(candidates)
	candidates = slices.CompactFunc(candidates, func(a, b version) bool { return a.text == b.text })
	candidates = candidates[:min(len(candidates), maxFixes)]
	var all, sure []string
	for _, c := range candidates {
		all = append(all, c.text)
		if !r.affectedBy(hits, s.base, c.text) {
			sure = append(sure, c.text)
		}
	}
	if len(sure) == 0 {
		return all
	}
	return sure
}

func (r *reader) affectedBy(hits []hit, base, version string) bool {
	for _, h := range hits {
		for _, entry := range h.entries {
			if in, _ := r.includes(entry, base, version); in {
				return true
			}
		}
	}
	return false
}

// Readable reports whether the version of p can be compared with those of advisories.
func Readable(p *inventory.Package) bool {
	s := newSubject(p)
	return parse(s.version, s.base).parsed != nil
}
