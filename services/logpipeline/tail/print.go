package tail

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
)

// printLen is how many bytes at the beginning of a file, and before the place
// reached in it, are remembered by their hash. Together they tell a file that was
// truncated and written again from one that was only appended to.
const printLen = 256

func printOf(b []byte) Fingerprint {
	if len(b) == 0 {
		return Fingerprint{}
	}
	sum := sha256.Sum256(b)
	return Fingerprint{Len: len(b), Sum: hex.EncodeToString(sum[:16])}
}

// headOf returns the fingerprint of the first line of b, or of its first printLen
// bytes if it is longer. Both stay what they are while the file grows.
func headOf(b []byte) Fingerprint {
	b = b[:min(len(b), printLen)]
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		b = b[:i+1]
	}
	return printOf(b)
}

// tailBefore returns the fingerprint of the bytes before offset in r.
func tailBefore(r io.ReaderAt, offset int64) (Fingerprint, error) {
	b := make([]byte, min(offset, printLen))
	_, err := io.ReadFull(io.NewSectionReader(r, offset-int64(len(b)), int64(len(b))), b)
	return printOf(b), err
}

// at reports whether the bytes of r from offset on have this fingerprint. An empty
// one fits everywhere.
func (p Fingerprint) at(r io.ReaderAt, offset int64) bool {
	if p.Len < 0 || p.Len > printLen || offset < 0 {
		return false
	}
	var b [printLen]byte
	n, _ := r.ReadAt(b[:p.Len], offset)
	return n == p.Len && printOf(b[:n]) == p
}

// fits reports whether r can be the file of st, or a copy of it: it begins alike
// and holds the same bytes before the place reached.
func (st *FileState) fits(r io.ReaderAt, size int64) bool {
	return size >= st.Offset && st.Head.at(r, 0) && st.Tail.at(r, st.Offset-int64(st.Tail.Len))
}

// check makes a state that was changed by another hand harmless: fingerprints that
// cannot be are dropped.
func (st *FileState) check() {
	st.Offset = max(0, st.Offset)
	if st.Head.Len < 0 || st.Head.Len > printLen {
		st.Head = Fingerprint{}
	}
	if st.Tail.Len < 0 || int64(st.Tail.Len) > min(printLen, st.Offset) {
		st.Tail = Fingerprint{}
	}
}
