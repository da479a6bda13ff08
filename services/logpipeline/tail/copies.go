package tail

import (
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
)

// sibling is a regular file in the folder of a followed one.
type sibling struct {
	path string
	fileInfo
}

// siblings lists the regular files beside the path of p and beside the place where f
// was last found, in the order of their last write.
func (t *Tailer) siblings(p *watchedPath, f *logFile) []sibling {
	found := listRegular(filepath.Dir(p.path))
	if dir := filepath.Dir(f.Real); f.Real != "" && dir != filepath.Dir(p.path) {
		found = append(found, listRegular(dir)...)
	}
	slices.SortFunc(found, func(a, b sibling) int {
		return cmp.Or(cmp.Compare(a.mtime, b.mtime), cmp.Compare(b.path, a.path))
	})
	return found
}

func listRegular(dir string) []sibling {
	d, err := openFolder(dir)
	if err != nil {
		return nil
	}
	defer closeRead(d)
	entries, _ := d.ReadDir(maxSiblings) // after an error, those before it
	var found []sibling
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if !e.Type().IsRegular() {
			continue
		}
		if info, err := statPath(path); err == nil {
			found = append(found, sibling{path, info})
		}
	}
	return found
}

// unowned reports whether no path reads sib, or has read it.
func (t *Tailer) unowned(p *watchedPath, sib sibling) bool {
	return sib.path != p.path && t.owner(sib.id, sib.path) == nil
}

// findCopy returns the largest file that continues the content of f: the copy that was
// made before a truncation, or the file that the writer continues.
func (t *Tailer) findCopy(p *watchedPath, f *logFile) (best sibling, found bool) {
	if f.Offset == 0 {
		return sibling{}, false
	}
	for _, sib := range t.siblings(p, f) {
		if t.unowned(p, sib) && sib.mtime >= f.MTime && sib.size >= max(f.Offset, best.size) && f.matchesPath(sib.path) {
			best, found = sib, true
		}
	}
	return best, found
}

// findCompressedCopy opens the first compressed file that may continue the content of f: it
// begins as f does. It is nil if there is none.
func (t *Tailer) findCompressedCopy(p *watchedPath, f *logFile) *unpacker {
	if f.Offset == 0 || f.Head.Len == 0 || t.cfg.ScratchDir == "" {
		return nil
	}
	for _, sib := range t.siblings(p, f) {
		if !isGzip(sib.path) || sib.mtime < f.MTime || slices.Contains(f.rejected, sib.id) || !isRotationOf(sib.path, p.path) || !t.unowned(p, sib) {
			continue
		}
		u, err := newUnpacker(t.cfg.ScratchDir, sib.path, &f.FileState)
		if err == nil {
			return u
		}
		if !errors.Is(err, errOtherContent) {
			t.logFor(p).WithError(err).Warn("rotated log cannot be unpacked")
		}
	}
	return nil
}

// unreadInGzip returns how many bytes of f the oldest compressed rotation newer than
// the place reached holds beyond it, 0 if there is none. The size is that of the gzip trailer
// (RFC 1952, 2.3.1).
func (t *Tailer) unreadInGzip(p *watchedPath, f *logFile) int64 {
	for _, sib := range t.siblings(p, f) {
		if sib.mtime < f.MTime || !isRotationOf(sib.path, p.path) || !isGzip(sib.path) || sib.size < minGzipLen {
			continue
		}
		file, info, err := openRegular(sib.path)
		if err != nil {
			continue
		}
		var trailer [4]byte
		_, err = file.ReadAt(trailer[:], info.size-int64(len(trailer)))
		closeRead(file)
		if err == nil {
			return max(0, int64(binary.LittleEndian.Uint32(trailer[:]))-f.Offset)
		}
	}
	return 0
}

// unseenRotations lists files that were rotated away between f, the last known file of
// p, and now, and of which nothing was read; the oldest first.
func (t *Tailer) unseenRotations(p *watchedPath, f *logFile) []sibling {
	var found []sibling
	for _, sib := range t.siblings(p, f) {
		switch {
		case !isRotationOf(sib.path, p.path), isCompressed(sib.path):
		case matchesAny(t.cfg.Paths, sib.path) && !isNumbered(sib.path, p.path): // a log of its own
		case sib.mtime < f.MTime, !t.unowned(p, sib):
		case sib.id.Birth != 0 && sib.id.Birth < f.At.Birth:
		case f.Offset > 0 && f.matchesPath(sib.path): // a copy of content that was read
		default:
			found = append(found, sib)
		}
	}
	return found
}

// firstBytes returns the bytes that the fingerprint of a beginning is taken of.
func firstBytes(path string) ([]byte, error) {
	file, _, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer closeRead(file)
	b := make([]byte, fingerprintLen)
	n, err := file.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}

// isRotationOf reports whether path is a name that rotation programs give to the file base:
// base, a separator, anything.
func isRotationOf(path, base string) bool {
	rest, ok := strings.CutPrefix(filepath.Base(path), filepath.Base(base))
	return ok && rest != "" && strings.ContainsRune(".-_~", rune(rest[0]))
}

// isNumbered reports whether what follows base in path is a number or a date: then it
// is a rotated file even if a pattern matches it, too.
func isNumbered(path, base string) bool {
	rest := strings.TrimPrefix(filepath.Base(path), filepath.Base(base))
	return strings.Trim(rest, "0123456789.-_TZ:") == ""
}

func isGzip(path string) bool { return filepath.Ext(path) == ".gz" }

func isCompressed(path string) bool {
	return slices.Contains([]string{".gz", ".bz2", ".xz", ".zst", ".lz4"}, filepath.Ext(path))
}
