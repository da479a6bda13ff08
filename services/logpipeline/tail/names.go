package tail

import (
	"cmp"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// separators come before what rotation programs add to a name.
const separators = ".-_~"

// packedSuffixes are the ends of names of compressed files. They only help to read a name: the content says what a file is.
var packedSuffixes = []string{".gz", ".xz", ".zst", ".bz2", ".lz4", ".lzma", ".Z", ".zip"}

func withoutPackedSuffix(name string) string {
	for _, suffix := range packedSuffixes {
		if rest, ok := strings.CutSuffix(name, suffix); ok {
			return rest
		}
	}
	return name
}

// rotationSuffix returns what a rotation program has added to the name of base in that of path: "1" in app.log.1.gz and "2026-12-01" in
// app-2026-12-01.log. In the middle of a name that must be a date, or a number after a dot.
func rotationSuffix(path, base string) (suffix string, ok bool) {
	name, base := withoutPackedSuffix(filepath.Base(path)), filepath.Base(base)
	if rest, ok := strings.CutPrefix(name, base); ok {
		if rest == "" {
			return "", filepath.Base(path) != base
		}
		return rest[1:], strings.ContainsRune(separators, rune(rest[0]))
	}
	ext := filepath.Ext(base)
	stem := strings.TrimSuffix(base, ext)
	rest, found := strings.CutPrefix(name, stem)
	rest, foundExt := strings.CutSuffix(rest, ext)
	if stem == "" || ext == "" || !found || !foundExt || len(rest) < 2 || !strings.ContainsRune(separators, rune(rest[0])) || !insideName(rest) {
		return "", false
	}
	return rest[1:], true
}

// isRotationOf reports whether path has a name that rotation programs give to the file base, in whatever folder.
func isRotationOf(path, base string) bool {
	_, ok := rotationSuffix(path, base)
	return ok
}

// isNumbered reports whether what was added to base in path is a number or a date: then it
// is a rotated file even if a pattern matches it, too.
func isNumbered(path, base string) bool {
	suffix, ok := rotationSuffix(path, base)
	return ok && numeric(suffix)
}

// insideName reports whether s, a separator and what follows, is put before the ending of a name by rotation: a date, or a number after a dot. Others,
// as in worker-1.log, are names of logs of their own.
func insideName(s string) bool {
	digits := 0
	for _, c := range s {
		if c >= '0' && c <= '9' {
			digits++
		}
	}
	return numeric(s) && (digits >= len("261201") || digits > 0 && digits == len(s)-1 && s[0] == '.')
}

// numeric reports whether s may be a number or a date with a time.
func numeric(s string) bool { return strings.Trim(s, "0123456789.-_~TZ:") == "" }

// possibleBases returns the names of which name may be a rotation, the longest first.
func possibleBases(name string) (bases []string) {
	name = withoutPackedSuffix(name)
	bases = append(bases, name) // of a compressed file
	for base := name; ; {
		i := strings.LastIndexAny(base, separators)
		if i <= 0 {
			break
		}
		base = base[:i]
		bases = append(bases, base)
	}
	ext := filepath.Ext(name)
	stem := strings.TrimSuffix(name, ext)
	for i := len(stem) - 1; i > 0 && ext != "" && numeric(stem[i:]); i-- {
		if strings.ContainsRune(separators, rune(stem[i])) && insideName(stem[i:]) {
			bases = append(bases, stem[:i]+ext)
		}
	}
	return bases
}

// sortRotations puts rotations of base in order, the oldest first: by number or date where all names have one, or else by their last write.
func sortRotations(all []sibling, base string) {
	numbers, dates := true, true
	suffixes := map[string]string{}
	for _, sib := range all {
		suffix, _ := rotationSuffix(sib.path, base)
		suffixes[sib.path] = suffix
		_, err := strconv.Atoi(suffix)
		isDate := numeric(suffix) && len(suffix) >= len("20261201")
		numbers = numbers && err == nil && !isDate
		dates = dates && isDate
	}
	number := func(sib sibling) int { n, _ := strconv.Atoi(suffixes[sib.path]); return n } // it is one
	slices.SortStableFunc(all, func(a, b sibling) int {
		order := 0
		switch {
		case numbers:
			order = cmp.Compare(number(b), number(a))
		case dates:
			order = strings.Compare(suffixes[a.path], suffixes[b.path])
		}
		return cmp.Or(order, cmp.Compare(a.mtime, b.mtime), strings.Compare(b.path, a.path))
	})
}
