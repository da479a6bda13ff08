package match

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/osv-scalibr/semantic"
)

const (
	// maxVersion is the longest version that is read; some readers take time by the square of the length.
	maxVersion = 256
	// maxFixes limits the fixed versions of one finding.
	maxFixes = 20
)

// version is a version of one ecosystem, or text that cannot be compared as one.
type version struct {
	text   string
	parsed semantic.Version // nil if it cannot be read
}

// parse reads text as a version of an ecosystem, given without suffix.
func parse(text, base string) version {
	v := version{text: text}
	if !plausible(text, base) {
		return v
	}
	defer func() {
		if recover() != nil {
			v.parsed = nil
		}
	}()
	parsed, err := semantic.Parse(text, base)
	if err == nil && !legacy(parsed) {
		v.parsed = parsed
	}
	return v
}

// compare returns -1, 0 or 1 as v is before, equal to or after w. It fails if one of them cannot be read.
func (v version) compare(w version) (order int, err error) {
	if v.parsed == nil || w.parsed == nil {
		return 0, fmt.Errorf("versions %q and %q cannot be compared", v.text, w.text)
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("versions %q and %q cannot be compared: %v", v.text, w.text, r)
		}
	}()
	return v.parsed.Compare(w.parsed)
}

// plausible reports whether text may be a version: semantic reads anything, such as a branch, a range or a placeholder that a
// build tool replaces, as some version.
func plausible(text, base string) bool {
	if text == "" || len(text) > maxVersion || strings.ContainsAny(text, "*$<>=,()[]{} \t\r\n") {
		return false
	}
	switch base {
	case "Maven", "Red Hat", "AlmaLinux", "Rocky Linux", "openEuler", "openSUSE", "SUSE", "Mageia":
		return true // letters may come first
	}
	first := strings.TrimPrefix(strings.TrimPrefix(text, "v"), "V")
	return first != "" && '0' <= first[0] && first[0] <= '9'
}

// legacy reports whether v is a PyPI version that PEP 440 does not know. These have no defined order; semantic puts them before all others.
func legacy(v semantic.Version) bool {
	if _, ok := v.(semantic.PyPIVersion); !ok {
		return false
	}
	order, err := v.CompareStr("0.dev0")
	return err != nil || order < 0
}

// sortVersions sorts in ascending order; what cannot be read goes last, by text.
func sortVersions(all []version) {
	slices.SortStableFunc(all, func(a, b version) int {
		switch order, err := a.compare(b); {
		case err == nil:
			return order
		case a.parsed != nil:
			return -1
		case b.parsed != nil:
			return 1
		}
		return strings.Compare(a.text, b.text)
	})
}
