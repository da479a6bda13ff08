package audit

import (
	"context"
	"crypto/sha256"
	"encoding"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/ironpost/ironpost/internal/atomicfile"
)

const (
	indexName    = "audit.index"
	indexVersion = 1
	maxIndex     = 64 << 20 // some 500,000 segments
	// idBytes is how much of the end of the trail is read for the ids of its actions, in bytes: many times
	// what the deliveries that can be in flight (256) may have.
	idBytes = 32 << 20
)

// index is what the closed segments were found to hold, so that Open need not read them. It is a cache: a
// missing or unfitting one costs a read of the whole trail, and what it says is checked by Trail.Check.
type index struct {
	progress // up to the last record of Files

	Files []indexedFile // every closed segment, oldest first
}

// indexedFile is a closed segment.
type indexedFile struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
}

// indexFile is the form of an index on the disk.
type indexFile struct {
	Version   int           `json:"version"`
	Files     []indexedFile `json:"files"`
	Records   uint64        `json:"records"`
	First     Head          `json:"first"`
	Last      Head          `json:"last"`
	LastBreak time.Time     `json:"last_break"`
	Digest    []byte        `json:"digest"` // the state of the hash, as it marshals itself
}

// loadIndex returns the stored index if the files it names are the oldest of names and have their sizes,
// and if the stored head does not contradict it. Otherwise it returns an index of nothing.
func (t *Trail) loadIndex(names []string) index {
	none := index{progress: newProgress()}
	text, err := readSmallFile(t.path(indexName), maxIndex)
	var f indexFile
	if err != nil || json.Unmarshal(text, &f) != nil || f.Version != indexVersion || len(f.Files) > len(names) {
		return none
	}
	for i, file := range f.Files {
		info, err := os.Lstat(t.path(names[i]))
		if err != nil || file.Name != names[i] || file.Name == activeName || info.Size() != file.Size {
			return none
		}
	}
	if t.openedWith.Seq == f.Last.Seq && t.openedWith.Hash != f.Last.Hash {
		return none
	}
	digest := sha256.New()
	if digest.(encoding.BinaryUnmarshaler).UnmarshalBinary(f.Digest) != nil { //nolint:forcetypeassert // documented
		return none
	}
	return index{
		progress: progress{first: f.First, last: f.Last, records: f.Records, lastBreak: f.LastBreak, digest: digest},
		Files:    f.Files,
	}
}

// saveIndex stores the index of the closed segments. It is called when no record is after them. If it
// cannot be stored the next Open reads more, and stores it.
func (t *Trail) saveIndex() {
	digest, err := t.digest.(encoding.BinaryMarshaler).MarshalBinary() //nolint:forcetypeassert // documented
	if err != nil {
		return
	}
	text, err := json.Marshal(indexFile{
		Version: indexVersion, Files: t.closed, Records: t.records, First: t.first, Last: t.last, LastBreak: t.lastBreak, Digest: digest,
	})
	if err != nil {
		return
	}
	_ = atomicfile.WriteFile(t.path(indexName), text, 0o600)
}

// rememberCovered fills the recent ids from the newest of the segments that the index covers.
func (t *Trail) rememberCovered(ctx context.Context, names []string) error {
	t.ids = newRecentIDs()
	var bytes int64
	if info, err := os.Lstat(t.path(activeName)); err == nil {
		bytes = info.Size()
	}
	from := len(t.closed)
	for from > 0 && bytes < idBytes {
		from--
		bytes += t.closed[from].Size
	}
	for _, name := range names[from:len(t.closed)] {
		_, err := readSegmentFile(ctx, t.dir, name, func(_ position, line []byte) {
			if r, err := decodeLine(line); err == nil {
				t.remember(r)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Check reads every byte of the trail up to its last record, as Verify does, while other methods may be
// called. It returns ErrTampered if there is damage that no Break record declares.
func (t *Trail) Check(ctx context.Context) error {
	t.mu.Lock()
	closed, size := slices.Clone(t.closed), t.size
	var active *os.File
	var err error
	if t.file != nil {
		active, err = openRead(t.path(activeName))
	}
	t.mu.Unlock()
	if err != nil {
		return err
	}
	if active != nil {
		defer active.Close() //nolint:errcheck // only read
	}
	c := newChecker(t.openedWith)
	for _, file := range closed {
		if _, err := c.takeSegment(ctx, t.dir, file.Name, false); err != nil {
			return err
		}
	}
	if active != nil {
		rest, err := readSegment(ctx, io.LimitReader(active, size), activeName, c.take)
		if err != nil {
			return err
		}
		c.takeUnended(rest)
	}
	c.resolveDamage(nil)
	if c.undeclared != nil {
		return fmt.Errorf("%v: %w", c.undeclared, ErrTampered)
	}
	return nil
}
