package match

import (
	"cmp"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
)

// includes reports whether an entry of an advisory includes a version of its package, by the evaluation algorithm of the OSV
// schema (https://ossf.github.io/osv-schema/#evaluation). It is not readable if that cannot be decided, because a version is not
// one, or the entry has nothing but commits.
func includes(entry *advisory.Affected, base, text string) (affected, readable bool) {
	if listed(entry.Versions, base, text) {
		return true, true
	}
	comparable, failed := len(entry.Versions) > 0 || len(entry.Ranges) == 0, text == ""
	for i := range entry.Ranges {
		r := &entry.Ranges[i]
		if r.Type != advisory.SemVer && r.Type != advisory.Ecosystem {
			continue // commits
		}
		comparable = true
		in, err := contains(r, order(r, base), text)
		if in {
			return true, true
		}
		failed = failed || err != nil
	}
	return false, comparable && !failed
}

// listed reports whether a list of versions has text, with or without the v that some ecosystems write before a version.
func listed(versions []string, base, text string) bool {
	if text == "" {
		return false
	}
	want := plain(text, base)
	return slices.ContainsFunc(versions, func(v string) bool { return v == text || plain(v, base) == want })
}

// plain is a version without what makes no difference: a leading v, and for PyPI zeros at the end (PEP 440) and the case of letters.
func plain(text, base string) string {
	text = strings.TrimPrefix(text, "v")
	if base != "PyPI" {
		return text
	}
	for strings.HasSuffix(text, ".0") {
		text = strings.TrimSuffix(text, ".0")
	}
	return strings.ToLower(text)
}

// order names the ecosystem whose rules order the versions of r. SEMVER ranges use Semantic Versioning whatever the ecosystem;
// npm stands for it.
func order(r *advisory.Range, base string) string {
	if r.Type == advisory.SemVer {
		return "npm"
	}
	return base
}

// edge is an event of a range with its version.
type edge struct {
	*advisory.Event
	version
}

// contains reports whether a range has a version. Its events take effect in the order of their versions, whatever their order
// in the record. It fails if a version cannot be read.
func contains(r *advisory.Range, base, text string) (bool, error) {
	v := parse(text, base)
	edges, limited, err := edges(r, base, v)
	if err != nil || limited {
		return false, err
	}
	vulnerable := false
	for _, e := range edges {
		at, err := v.compareEdge(e)
		if err != nil {
			return false, err
		}
		switch {
		case e.Introduced != "" && at >= 0:
			vulnerable = true
		case e.Fixed != "" && at >= 0, e.LastAffected != "" && at > 0:
			vulnerable = false
		}
	}
	return vulnerable, nil
}

// edges returns the events of r in the order of their versions, without limits. It reports whether v is beyond all limits.
func edges(r *advisory.Range, base string, v version) (sorted []edge, limited bool, err error) {
	limits, below := 0, false
	for i := range r.Events {
		e := edge{Event: &r.Events[i]}
		e.version = parse(cmp.Or(e.Introduced, e.Fixed, e.LastAffected, e.Limit), base)
		if e.Limit == "" {
			sorted = append(sorted, e)
			continue
		}
		limits++
		if e.Limit == "*" {
			below = true
			continue
		}
		at, err := v.compare(e.version)
		if err != nil {
			return nil, false, err
		}
		below = below || at < 0
	}
	slices.SortStableFunc(sorted, func(a, b edge) int {
		at, failed := a.compareEdge(b)
		if failed != nil {
			err = failed
		}
		return cmp.Or(at, cmp.Compare(a.rank(), b.rank()))
	})
	return sorted, limits > 0 && !below, err
}

// compareEdge is compare, where the version 0 of an introduced event is before all others.
func (v version) compareEdge(e edge) (int, error) {
	if e.Introduced == "0" {
		if v.parsed == nil {
			return v.compare(e.version)
		}
		return 1, nil
	}
	return v.compare(e.version)
}

// compareEdge compares the versions of two events.
func (e edge) compareEdge(f edge) (int, error) {
	switch {
	case e.Introduced == "0" && f.Introduced == "0":
		return 0, nil
	case e.Introduced == "0":
		return -1, nil
	}
	return e.version.compareEdge(f)
}

// rank is the order of events at the same version: what was fixed may be introduced again, what is introduced may be last affected.
func (e edge) rank() int {
	switch {
	case e.Fixed != "":
		return 0
	case e.Introduced != "":
		return 1
	}
	return 2
}

// laterFixes returns the versions that entry calls fixed and that are after the version in text.
func laterFixes(entry *advisory.Affected, base, text string) []version {
	var fixes []version
	for i := range entry.Ranges {
		r := &entry.Ranges[i]
		if r.Type == advisory.Git {
			continue
		}
		current := parse(text, order(r, base))
		for _, e := range r.Events {
			if e.Fixed == "" {
				continue
			}
			v := parse(e.Fixed, order(r, base))
			if at, err := v.compare(current); err == nil && at > 0 {
				fixes = append(fixes, v)
			}
		}
	}
	return fixes
}
