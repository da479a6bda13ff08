package match

import (
	"cmp"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
)

// reader evaluates advisories. It remembers what it read, because the same modules, advisories and versions come again and again
// within one inventory, and it serves one call of Match.
type reader struct {
	store    *advisory.Store
	lookups  map[packageName][]*advisory.Advisory
	versions map[spelling]version
	ranges   map[*advisory.Range]eventList
}

type packageName struct{ base, name string }

type spelling struct{ base, text string }

// eventList is the events of a range in the order in which they take effect.
type eventList struct {
	edges  []edge
	limits []edge
	err    error // a version cannot be read
}

// edge is an event of a range with its version.
type edge struct {
	*advisory.Event
	version
}

func newReader(store *advisory.Store) *reader {
	return &reader{
		store: store, lookups: map[packageName][]*advisory.Advisory{}, versions: map[spelling]version{}, ranges: map[*advisory.Range]eventList{},
	}
}

// lookup returns the advisories that name a package. Those of packages without advisories are not remembered.
func (r *reader) lookup(base, name string) ([]*advisory.Advisory, error) {
	if found := r.lookups[packageName{base, name}]; found != nil {
		return found, nil
	}
	found, err := r.store.Lookup(base, name)
	if err == nil && len(found) > 0 {
		r.lookups[packageName{base, name}] = found
	}
	return found, err
}

func (r *reader) version(text, base string) version {
	v, ok := r.versions[spelling{base, text}]
	if !ok {
		v = parse(text, base)
		r.versions[spelling{base, text}] = v
	}
	return v
}

// includes reports whether an entry of an advisory includes a version of its package, by the evaluation algorithm of the OSV
// schema (https://ossf.github.io/osv-schema/#evaluation). It is not readable if that cannot be decided, because a version is not
// one, or the entry has nothing but commits.
func (r *reader) includes(entry *advisory.Affected, base, text string) (affected, readable bool) {
	if listed(entry.Versions, base, text) {
		return true, true
	}
	comparable, failed := len(entry.Versions) > 0 || len(entry.Ranges) == 0, text == ""
	for i := range entry.Ranges {
		versions := &entry.Ranges[i]
		if versions.Type != advisory.SemVer && versions.Type != advisory.Ecosystem {
			continue // commits
		}
		comparable = true
		in, err := r.contains(versions, order(versions, base), text)
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

// order names the ecosystem whose rules order the versions of a range. SEMVER ranges use Semantic Versioning whatever the
// ecosystem; npm stands for it.
func order(r *advisory.Range, base string) string {
	if r.Type == advisory.SemVer {
		return "npm"
	}
	return base
}

// contains reports whether a range has a version. Its events take effect in the order of their versions, whatever their order
// in the record. It fails if a version cannot be read.
func (r *reader) contains(events *advisory.Range, base, text string) (bool, error) {
	list := r.events(events, base)
	if list.err != nil {
		return false, list.err
	}
	v := r.version(text, base)
	if below, err := v.below(list.limits); err != nil || !below {
		return false, err
	}
	vulnerable := false
	for _, e := range list.edges {
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

// below reports whether v is before one of limits, or there is none.
func (v version) below(limits []edge) (bool, error) {
	for _, limit := range limits {
		if limit.Limit == "*" {
			return true, nil
		}
		at, err := v.compare(limit.version)
		if err != nil {
			return false, err
		}
		if at < 0 {
			return true, nil
		}
	}
	return len(limits) == 0, nil
}

// events returns the events of a range in the order of their versions.
func (r *reader) events(of *advisory.Range, base string) eventList {
	list, ok := r.ranges[of]
	if ok {
		return list
	}
	for i := range of.Events {
		e := edge{Event: &of.Events[i]}
		e.version = r.version(cmp.Or(e.Introduced, e.Fixed, e.LastAffected, e.Limit), base)
		if e.Limit != "" {
			list.limits = append(list.limits, e)
			continue
		}
		list.edges = append(list.edges, e)
	}
	slices.SortStableFunc(list.edges, func(a, b edge) int {
		at, err := a.compareEdge(b)
		list.err = cmp.Or(list.err, err)
		return cmp.Or(at, cmp.Compare(a.rank(), b.rank()))
	})
	r.ranges[of] = list
	return list
}

// compareEdge is compare, where the version 0 of an introduced event is before all others.
func (v version) compareEdge(e edge) (int, error) {
	if e.Introduced == "0" && v.parsed != nil {
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
func (r *reader) laterFixes(entry *advisory.Affected, base, text string) []version {
	var fixes []version
	for i := range entry.Ranges {
		versions := &entry.Ranges[i]
		if versions.Type == advisory.Git {
			continue
		}
		current := r.version(text, order(versions, base))
		for _, e := range versions.Events {
			if e.Fixed == "" {
				continue
			}
			v := r.version(e.Fixed, order(versions, base))
			if at, err := v.compare(current); err == nil && at > 0 {
				fixes = append(fixes, v)
			}
		}
	}
	return fixes
}
