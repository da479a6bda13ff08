package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding"
	"errors"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/internal/atomicfile"
)

// beginning is where a trail begins whose older records were removed: the hash of the record before first,
// and the state of the digest there. The zero value is a trail that begins at record 1.
type beginning struct {
	first  uint64
	before Hash
	digest []byte
}

// digestSize is the size of a marshalled SHA-256 state.
const digestSize = 108

func marshalDigest(h hash.Hash) []byte {
	state, err := h.(encoding.BinaryMarshaler).MarshalBinary() //nolint:forcetypeassert // documented
	if err != nil {
		return nil
	}
	return state
}

// unmarshalDigest returns the digest with the given state; ok is false if that is none.
func unmarshalDigest(state []byte) (h hash.Hash, ok bool) {
	h = sha256.New()
	return h, h.(encoding.BinaryUnmarshaler).UnmarshalBinary(state) == nil //nolint:forcetypeassert // documented
}

// progress returns the state before the first record of the trail.
func (b beginning) progress() progress {
	if h, ok := unmarshalDigest(b.digest); ok && b.first > 1 {
		return progress{last: Head{Seq: b.first - 1, Hash: b.before}, digest: h}
	}
	return progress{digest: sha256.New()}
}

// findBeginning returns where the trail in dir begins, and the segments from there on. That is what the newest
// Pruned record says; one is always the first record of its segment. Segments before it are left over from a
// removal that was interrupted.
func findBeginning(dir string, names []string) (b beginning, kept, left []string, err error) {
	for _, name := range slices.Backward(names) {
		r, err := firstRecord(dir, name)
		if err != nil {
			return b, nil, nil, err
		}
		if _, ok := unmarshalDigest(r.Begin.digest); r.Kind == Pruned && ok && r.Begin.first > 1 {
			b = r.Begin
			break
		}
	}
	for i, name := range names {
		if name == activeName || firstSeq(name) >= b.first {
			return b, names[i:], names[:i], nil
		}
	}
	return b, nil, names, nil
}

// firstRecord returns the first record of a segment, the zero Record if it is not valid.
func firstRecord(dir, name string) (r Record, err error) {
	f, err := openRead(filepath.Join(dir, name))
	if err != nil {
		return r, err
	}
	defer f.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(f, maxLine+1))
	if line, _, found := bytes.Cut(text, []byte("\n")); found {
		r, _ = decodeLine(line)
	}
	return r, err
}

// firstSeq returns the seq in the name of a closed segment.
func firstSeq(name string) uint64 {
	digits, _, _ := strings.Cut(strings.TrimPrefix(name, "audit-"), ".")
	seq, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return 0
	}
	return seq
}

// Prunable returns the record that the trail would begin with if the closed segments with no record after
// before were removed, 0 if there are none. Store it as Head.First before calling Prune.
func (t *Trail) Prunable(before time.Time) (first uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.closed {
		if f.LastTime.IsZero() || !f.LastTime.Before(before) {
			break
		}
		if f.Last.Hash != (Hash{}) { // else its end is damaged, and the next record cannot be checked against it
			first = f.Last.Seq + 1
		}
	}
	return first
}

// Prune removes the closed segments before record first, which Prunable returned. A new segment begins with a
// Pruned record that says so; it is on the disk before the first file is removed, and an interrupted removal
// is completed by Open.
func (t *Trail) Prune(first uint64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := slices.IndexFunc(t.closed, func(f indexedFile) bool { return f.Last.Seq+1 == first }) + 1
	if n == 0 {
		return errors.New("no segment of the audit trail ends there")
	}
	last := t.closed[n-1]
	begin := beginning{first: first, before: last.Last.Hash, digest: last.Digest}
	if err := t.prepareSegment(0); err != nil {
		return err
	}
	if t.size > 0 {
		if _, err := t.closeSegment(); err != nil {
			return err
		}
	}
	if _, err := t.append(time.Now(), []Record{{Kind: Pruned, Begin: begin}}); err != nil {
		return err
	}
	var names []string
	for _, f := range t.closed[:n] {
		names = append(names, f.Name)
	}
	err := t.removeSegments(names)
	t.begin, t.closed, t.records = begin, t.closed[n:], t.records-min(t.records, last.Records)
	for i := range t.closed {
		t.closed[i].Records -= last.Records
	}
	t.saveIndex()
	return err
}

// removeSegments removes files, oldest first.
func (t *Trail) removeSegments(names []string) error {
	for _, name := range names {
		if err := os.Remove(t.path(name)); err != nil {
			return err
		}
	}
	return atomicfile.SyncDir(t.dir)
}
