package extract

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"runtime/debug"
	"sync"
	"time"

	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// cacheVersion changes with every change of what a file gives, apart from changes of parsers' own versions.
const cacheVersion = 1

// maxCacheBytes bounds a cache, in memory and encoded. More files than that are parsed at every scan.
const maxCacheBytes = 64 << 20

// settled is how long a file must have been unchanged to be trusted: the clock of a file system may be this coarse, or
// this far from ours.
const settled = time.Second

// Errors of DecodeCache.
var (
	// ErrOtherVersion means that the cache is from another version of the program. It is of no use.
	ErrOtherVersion = errors.New("cache is from another version of the program")
	// ErrBadCache means that the cache is damaged.
	ErrBadCache = errors.New("cache is damaged")
)

// Cache keeps what the files of folders contain from one scan to the next, so that unchanged files are not opened
// again. A file is unchanged if its device, inode, size, mode, modification and change time are, and those of every
// other file that its parser looked at. Its methods may be called concurrently. Packages from a cache share
// memory with it.
type Cache struct {
	mu      sync.Mutex
	entries map[cacheKey]cacheEntry
	bytes   int // estimate of the memory and of the encoded size
}

type cacheKey struct {
	Root string `json:"root"`
	Name string `json:"name"`
}

// stamp identifies a state of a file. The zero value means that there is no file.
type stamp struct {
	Device   uint64      `json:"device,omitempty"`
	Inode    uint64      `json:"inode,omitempty"`
	Size     int64       `json:"size,omitempty"`
	Mode     fs.FileMode `json:"mode,omitempty"`
	Modified int64       `json:"modified,omitempty"` // nanoseconds since 1970
	Changed  int64       `json:"changed,omitempty"`  // nanoseconds since 1970
}

type cacheEntry struct {
	Stamp    stamp               `json:"stamp"`
	Looked   map[string]stamp    `json:"looked,omitempty"`
	Packages []inventory.Package `json:"packages,omitempty"`
	Reason   string              `json:"reason,omitempty"`
	Detail   string              `json:"detail,omitempty"`
}

// NewCache returns an empty cache.
func NewCache() *Cache { return &Cache{entries: map[cacheKey]cacheEntry{}} }

// Files returns the number of files in the cache.
func (c *Cache) Files() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries)
}

// get returns what the file gave, if neither it nor the files its parser looked at have changed since.
func (c *Cache) get(key cacheKey, now stamp, stat func(string) stamp) (cacheEntry, bool) {
	c.mu.Lock()
	entry, ok := c.entries[key]
	c.mu.Unlock()
	if !ok || entry.Stamp != now || now == (stamp{}) {
		return cacheEntry{}, false
	}
	for name, before := range entry.Looked {
		if stat(name) != before {
			return cacheEntry{}, false
		}
	}
	return entry, true
}

// put keeps what the file gave. It does nothing when the cache is full.
func (c *Cache) put(key cacheKey, entry cacheEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(key)
	size := sizeOf(key, entry)
	if c.bytes+size > maxCacheBytes {
		return
	}
	c.bytes += size
	c.entries[key] = entry
}

// drop forgets a file. The caller holds mu.
func (c *Cache) drop(key cacheKey) {
	if entry, ok := c.entries[key]; ok {
		c.bytes -= sizeOf(key, entry)
		delete(c.entries, key)
	}
}

// keep forgets the files of root that are not among seen.
func (c *Cache) keep(root string, seen map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.entries {
		if key.Root == root && !seen[key.Name] {
			c.drop(key)
		}
	}
}

// sizeOf estimates the bytes of an entry from above: encoded, and in memory.
func sizeOf(key cacheKey, entry cacheEntry) int {
	const forFile, forPackage = 400, 400
	size := forFile + len(key.Root) + len(key.Name) + len(entry.Detail)
	for name := range entry.Looked {
		size += forFile + len(name)
	}
	for _, p := range entry.Packages {
		size += forPackage + len(p.PURL) + len(p.Name) + len(p.Version) + len(p.AdvisoryName) + len(p.AdvisoryVersion)
		for _, list := range [][]string{p.Locations, p.Groups, p.DependsOn, p.Licenses} {
			for _, text := range list {
				size += 20 + len(text)
			}
		}
	}
	return size
}

// encoded is a cache as JSON.
type encoded struct {
	Fingerprint string         `json:"fingerprint"`
	Entries     []encodedEntry `json:"entries"`
}

type encodedEntry struct {
	cacheKey
	cacheEntry
}

// Encode returns the cache in a form that DecodeCache reads.
func (c *Cache) Encode() ([]byte, error) {
	c.mu.Lock()
	entries := maps.Clone(c.entries)
	c.mu.Unlock()
	out := encoded{Fingerprint: fingerprint()}
	for key, entry := range entries {
		out.Entries = append(out.Entries, encodedEntry{key, entry})
	}
	return json.Marshal(out)
}

// DecodeCache returns the cache that Encode wrote. Its errors are ErrOtherVersion and ErrBadCache; a new cache takes
// its place then, which costs one full scan.
func DecodeCache(data []byte) (*Cache, error) {
	if len(data) > 2*maxCacheBytes {
		return nil, fmt.Errorf("%w: %d bytes", ErrBadCache, len(data))
	}
	var in encoded
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadCache, err)
	}
	if in.Fingerprint != fingerprint() {
		return nil, ErrOtherVersion
	}
	c := NewCache()
	for _, e := range in.Entries {
		if !fs.ValidPath(e.Name) {
			return nil, fmt.Errorf("%w: path %q", ErrBadCache, e.Name)
		}
		c.put(e.cacheKey, e.cacheEntry)
	}
	return c, nil
}

// fingerprint identifies what decides which packages a file gives: the format, the parsers and the program.
func fingerprint() string {
	h := sha256.New()
	_, _ = fmt.Fprintln(h, cacheVersion)
	if parsers, err := allParsers(); err == nil {
		for _, p := range parsers {
			_, _ = fmt.Fprintln(h, p.Name(), p.Version())
		}
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		_, _ = fmt.Fprintln(h, info.String())
	}
	return hex.EncodeToString(h.Sum(nil))
}
