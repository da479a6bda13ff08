package blocklist

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ironpost/ironpost/internal/atomicfile"
)

const (
	// shrinkPeriod is how far back the largest accepted size of a feed counts.
	shrinkPeriod = 24 * time.Hour
	// maxSizes bounds the sizes that are kept of one feed.
	maxSizes = 64
)

// acceptedSize is how many prefixes a feed had, and until when it was in force; zero: it is now.
type acceptedSize struct {
	Prefixes int       `json:"prefixes"`
	Until    time.Time `json:"until,omitzero"`
}

// feedSizes are the accepted sizes of a feed, the latest last.
type feedSizes []acceptedSize

// largest returns the largest size that was in force within shrinkPeriod before now.
func (s feedSizes) largest(now time.Time) int {
	most := 0
	for _, size := range s {
		if size.Until.IsZero() || now.Sub(size.Until) < shrinkPeriod {
			most = max(most, size.Prefixes)
		}
	}
	return most
}

// add returns the sizes after one more was accepted at now.
func (s feedSizes) add(prefixes int, now time.Time) feedSizes {
	var kept feedSizes
	for _, size := range s {
		if size.Until.IsZero() {
			size.Until = now.UTC()
		}
		if now.Sub(size.Until) < shrinkPeriod {
			kept = append(kept, size)
		}
	}
	if len(kept) >= maxSizes { // the largest tells, however often a feed changes
		largest := slices.MaxFunc(kept, func(a, b acceptedSize) int { return a.Prefixes - b.Prefixes })
		kept = feedSizes{{Prefixes: largest.Prefixes, Until: now.UTC()}}
	}
	return append(kept, acceptedSize{Prefixes: prefixes})
}

// feedStore keeps the accepted contents and sizes of feeds on disk, so that a restart neither forgets how large a feed was nor
// loses contents that its file no longer has. An empty one keeps nothing.
type feedStore struct{ dir string }

// path returns the file for the feed at path.
func (s feedStore) path(path string) string {
	return filepath.Join(s.dir, fmt.Sprintf("feed-%x", sha256.Sum256([]byte(path)))[:len("feed-")+16])
}

// load returns what was saved of the feed at path; nothing if there is none.
func (s feedStore) load(path string) (sizes feedSizes, prefixes []netip.Prefix, err error) {
	if s.dir == "" {
		return nil, nil, nil
	}
	data, err := os.ReadFile(s.path(path))
	if err != nil {
		return nil, nil, unlessMissing(err)
	}
	first, rest, _ := bytes.Cut(data, []byte("\n"))
	if err := json.Unmarshal(first, &sizes); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", s.path(path), err)
	}
	lines := bufio.NewScanner(bytes.NewReader(rest))
	for lines.Scan() {
		p, err := netip.ParsePrefix(lines.Text())
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", s.path(path), err)
		}
		prefixes = append(prefixes, p)
	}
	return sizes, prefixes, lines.Err()
}

// save keeps the sizes and contents of the feed at path.
func (s feedStore) save(path string, sizes feedSizes, prefixes []feedPrefix) error {
	if s.dir == "" {
		return nil
	}
	text, err := json.Marshal(sizes)
	if err != nil {
		return err
	}
	for _, p := range prefixes {
		text = p.AppendTo(append(text, '\n'))
	}
	err = atomicfile.WriteFile(s.path(path), append(text, '\n'), 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(s.dir, 0o700); err == nil {
			err = atomicfile.WriteFile(s.path(path), append(text, '\n'), 0o600)
		}
	}
	return err
}
