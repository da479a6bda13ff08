package audit

import (
	"context"
	"encoding/json"
	"os"
	"time"

	"github.com/ironpost/ironpost/internal/atomicfile"
)

const (
	indexName    = "audit.index"
	indexVersion = 1
	maxIndex     = 64 << 20 // some 150,000 segments
	// idBytes is how much of the end of the trail is read for the ids of its actions, in bytes: many times
	// what the deliveries that can be in flight (256) may have.
	idBytes = 32 << 20
)

// index is what the closed segments were found to hold, so that Open need not read them. It is a cache: a
// missing or unfitting one costs a read of the whole trail, and what it says is checked by Trail.Check.
type index struct {
	progress // up to the last record of Files

	begin beginning
	Files []indexedFile // every closed segment, oldest first
}

// indexedFile is a closed segment and the state of the trail at its end.
type indexedFile struct {
	Name      string    `json:"name"`
	Size      int64     `json:"size"`
	Records   uint64    `json:"records"` // of the trail up to here
	Last      Head      `json:"last"`
	LastTime  time.Time `json:"last_time"`
	LastBreak time.Time `json:"last_break"`
	Digest    []byte    `json:"digest"` // the state of the hash, as it marshals itself
}

func (p *progress) indexed(name string, size int64) indexedFile {
	return indexedFile{
		Name: name, Size: size, Records: p.records, Last: p.last, LastTime: p.lastTime, LastBreak: p.lastBreak, Digest: marshalDigest(p.digest),
	}
}

// indexFile is the form of an index on the disk.
type indexFile struct {
	Version int           `json:"version"`
	Files   []indexedFile `json:"files"`
	// Where the trail begins, if that is not record 1.
	First       uint64 `json:"first,omitempty"`
	Before      Hash   `json:"before"`
	FirstDigest []byte `json:"first_digest,omitempty"`
}

// loadIndex returns the stored index if the files it names are the oldest of names and have their sizes,
// and if the stored head does not contradict it. Otherwise it returns an index of nothing.
func (t *Trail) loadIndex(names []string) (none index) {
	text, err := readSmallFile(t.path(indexName), maxIndex)
	var f indexFile
	if err != nil || json.Unmarshal(text, &f) != nil || f.Version != indexVersion || len(f.Files) == 0 || len(f.Files) > len(names) {
		return none
	}
	for i, file := range f.Files {
		info, err := os.Lstat(t.path(names[i]))
		if err != nil || file.Name != names[i] || file.Name == activeName || info.Size() != file.Size {
			return none
		}
	}
	end := f.Files[len(f.Files)-1]
	digest, ok := unmarshalDigest(end.Digest)
	if !ok || t.openedWith.Seq == end.Last.Seq && t.openedWith.Hash != end.Last.Hash {
		return none
	}
	return index{
		progress: progress{last: end.Last, lastTime: end.LastTime, records: end.Records, lastBreak: end.LastBreak, digest: digest},
		begin:    beginning{first: f.First, before: f.Before, digest: f.FirstDigest}, Files: f.Files,
	}
}

// saveIndex stores the index of the closed segments. If it cannot be stored the next Open reads more, and
// stores it.
func (t *Trail) saveIndex() {
	text, err := json.Marshal(indexFile{
		Version: indexVersion, Files: t.closed, First: t.begin.first, Before: t.begin.before, FirstDigest: t.begin.digest,
	})
	if err == nil {
		_ = atomicfile.WriteFile(t.path(indexName), text, 0o600)
	}
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
