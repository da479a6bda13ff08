package tail

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
)

// fingerprintLen is how many bytes at the beginning of a file, and before the place
// reached in it, are remembered by their hash. Together they tell a file that was
// truncated and written again from one that was only appended to.
const fingerprintLen = 256

func fingerprintOf(b []byte) Fingerprint {
	if len(b) == 0 {
		return Fingerprint{}
	}
	sum := sha256.Sum256(b)
	return Fingerprint{Len: len(b), Sum: hex.EncodeToString(sum[:16])}
}

// headFingerprint returns the fingerprint of the first line of b, or of its first
// fingerprintLen bytes if it is longer. Both stay the same while the file grows.
func headFingerprint(b []byte) Fingerprint {
	b = b[:min(len(b), fingerprintLen)]
	if i := firstEnd(b); i >= 0 {
		b = b[:i]
	}
	return fingerprintOf(b)
}

// tailFingerprint returns the fingerprint of the bytes before offset in r.
func tailFingerprint(r io.ReaderAt, offset int64) (Fingerprint, error) {
	n := min(offset, fingerprintLen)
	return fingerprintAt(r, offset-n, n)
}

func fingerprintAt(r io.ReaderAt, offset, n int64) (Fingerprint, error) {
	b := make([]byte, n)
	_, err := io.ReadFull(io.NewSectionReader(r, offset, n), b)
	return fingerprintOf(b), err
}

// matches reports whether the bytes of r from offset on have this fingerprint. An
// empty one matches everywhere.
func (p Fingerprint) matches(r io.ReaderAt, offset int64) bool {
	if p.Len < 0 || p.Len > fingerprintLen || offset < 0 {
		return false
	}
	var b [fingerprintLen]byte
	n, _ := r.ReadAt(b[:p.Len], offset)
	return n == p.Len && fingerprintOf(b[:n]) == p
}

// matches reports whether r can be the file of st, or a copy of it: it begins alike
// and holds the same bytes before the place reached, and before its end as last seen.
func (st *FileState) matches(r io.ReaderAt, size int64) bool {
	return size >= st.Offset && st.beginsLike(r, size) && st.Tail.matches(r, st.Offset-int64(st.Tail.Len))
}

// beginsLike is matches without the bytes before the place reached.
func (st *FileState) beginsLike(r io.ReaderAt, size int64) bool {
	return st.Head.matches(r, 0) && (st.End.Len == 0 || size >= st.Size && st.End.matches(r, st.Size-int64(st.End.Len)))
}

// matchesPath is matches for the file at path, false if it cannot be opened.
func (st *FileState) matchesPath(path string) bool {
	file, info, err := openRegular(path)
	if err != nil {
		return false
	}
	defer closeRead(file)
	return st.matches(file, info.size)
}

// sanitize makes a state from a file harmless that was changed by another program:
// impossible offsets and fingerprints are dropped.
func (st *FileState) sanitize() {
	st.Offset, st.Size = max(0, st.Offset), max(0, st.Size)
	if st.Head.Len < 0 || st.Head.Len > fingerprintLen {
		st.Head = Fingerprint{}
	}
	if st.Tail.Len < 0 || int64(st.Tail.Len) > min(fingerprintLen, st.Offset) {
		st.Tail = Fingerprint{}
	}
	if st.End.Len < 0 || int64(st.End.Len) > min(fingerprintLen, st.Size) {
		st.End = Fingerprint{}
	}
}
