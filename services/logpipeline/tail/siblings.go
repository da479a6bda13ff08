package tail

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxSiblings bounds how many files of one folder are looked at for a rotated one.
const maxSiblings = 20_000

// sibling is a regular file beside a followed one.
type sibling struct {
	path string
	in   info
}

// siblings lists the regular files beside the path of f and beside s, in the
// order they were last written.
func (t *Tailer) siblings(f *follow, s *source) []sibling {
	var found []sibling
	for _, dir := range folders(f, s.Real) {
		found = append(found, listRegular(dir)...)
	}
	slices.SortFunc(found, func(a, b sibling) int {
		return cmp.Or(cmp.Compare(a.in.mtime, b.in.mtime), cmp.Compare(b.path, a.path))
	})
	return found
}

func listRegular(dir string) []sibling {
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer release(d)
	entries, _ := d.ReadDir(maxSiblings) // what was read before an error counts
	var found []sibling
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if !e.Type().IsRegular() {
			continue
		}
		if in, err := look(path); err == nil && in.kind == regular {
			found = append(found, sibling{path, in})
		}
	}
	return found
}

// stranger reports whether sib was never read and is not followed on its own.
func (t *Tailer) stranger(f *follow, sib sibling) bool {
	return sib.path != f.path && t.owner(sib.in.id, sib.path) == nil
}

// copyOf finds a file that continues the content of s: the copy that was made
// before a truncation, or one on which the writer goes on.
func (t *Tailer) copyOf(f *follow, s *source) (sibling, bool) {
	var best sibling
	if s.Offset == 0 {
		return best, false
	}
	for _, sib := range t.siblings(f, s) {
		if !t.stranger(f, sib) || sib.in.mtime < s.MTime || sib.in.size < max(s.Offset, best.in.size) {
			continue
		}
		if fitsPath(&s.FileState, sib.path) {
			best = sib
		}
	}
	return best, best.path != ""
}

// fitsPath reports whether the file at path can be that of st or a copy of it.
func fitsPath(st *FileState, path string) bool {
	file, in, err := open(path)
	if err != nil {
		return false
	}
	defer release(file)
	return st.fits(file, in.size)
}

// unseen lists files that were rotated away between st, the last we know of f, and
// now, without our having read any of them; the oldest first.
func (t *Tailer) unseen(f *follow, s *source) []sibling {
	var found []sibling
	for _, sib := range t.siblings(f, s) {
		switch {
		case !isRotationOf(sib.path, f.path), isCompressed(sib.path):
		case matches(t.cfg.Paths, sib.path) && !isNumbered(sib.path, f.path): // a log of its own
		case sib.in.mtime < s.MTime, !t.stranger(f, sib):
		case sib.in.id.Birth != 0 && sib.in.id.Birth < s.At.Birth:
		case s.Offset > 0 && fitsPath(&s.FileState, sib.path): // a copy of what we read
		default:
			found = append(found, sib)
		}
	}
	return found
}

// isRotationOf reports whether path is named as rotation programs name what was
// base: base, a separator, anything.
func isRotationOf(path, base string) bool {
	rest, ok := strings.CutPrefix(filepath.Base(path), filepath.Base(base))
	return ok && rest != "" && strings.ContainsRune(".-_~", rune(rest[0]))
}

// isNumbered reports whether what follows base in path is a number or a date, so
// that it is a rotated file even if a pattern names it, too.
func isNumbered(path, base string) bool {
	rest := strings.TrimPrefix(filepath.Base(path), filepath.Base(base))
	return strings.Trim(rest, "0123456789.-_TZ:") == ""
}

func isCompressed(path string) bool {
	switch filepath.Ext(path) {
	case ".gz", ".bz2", ".xz", ".zst", ".lz4":
		return true
	}
	return false
}
