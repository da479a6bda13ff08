package advisory

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

// Coverage says what the database has for one ecosystem, or for one of the feeds KEV and EPSS.
type Coverage struct {
	Ecosystem string         `json:"ecosystem"` // the base name, such as Debian; KEV or EPSS for a feed
	Records   int            `json:"records"`
	Withdrawn int            `json:"withdrawn,omitempty"` // of Records: they are kept so that reports can say so
	Refused   map[string]int `json:"refused,omitempty"`   // records that were not imported, by reason
	Examples  []Refusal      `json:"examples,omitempty"`  // the first of them, at most 20
	Newest    time.Time      `json:"newest"`              // when the record that changed last was modified; zero if none says

	Source   string    `json:"source"`   // URL or path that was imported
	SHA256   string    `json:"sha256"`   // of the source; of a directory, of the names and contents read
	Imported time.Time `json:"imported"` // when the records were imported
	Checked  time.Time `json:"checked"`  // when the source last said that there is nothing newer

	File         string `json:"file"` // of the index, below the folder index
	FileSHA256   string `json:"file_sha256"`
	FileSize     int64  `json:"file_size"`
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
}

// Refusal names one record that was not imported.
type Refusal struct {
	File   string `json:"file"` // in the archive or directory
	Reason string `json:"reason"`
	Detail string `json:"detail"`
}

// Generation is one state of the database.
type Generation struct {
	ID         string     `json:"id"`       // hash of the content: it changes when anything in the database does
	Imported   time.Time  `json:"imported"` // when this state was made
	Ecosystems []Coverage `json:"ecosystems"`
	KEV        *Coverage  `json:"kev,omitempty"`
	EPSS       *Coverage  `json:"epss,omitempty"`
}

// Status is what a database has, and how old it is.
type Status struct {
	Generation
	Previous *Generation `json:"previous,omitempty"` // what Rollback returns to
	// Damaged says why the newest generation could not be opened, if the previous one is in use instead.
	Damaged string `json:"damaged,omitempty"`
}

// Updated returns when the least recently checked ecosystem was known to be current, zero without any. The age of the database
// is the time since then.
func (g Generation) Updated() time.Time {
	var oldest time.Time
	for _, c := range g.Ecosystems {
		if oldest.IsZero() || c.Checked.Before(oldest) {
			oldest = c.Checked
		}
	}
	return oldest
}

// Records returns how many advisories there are.
func (g Generation) Records() int {
	n := 0
	for _, c := range g.Ecosystems {
		n += c.Records
	}
	return n
}

// all returns everything that has a file.
func (g *Generation) all() []*Coverage {
	var all []*Coverage
	for i := range g.Ecosystems {
		all = append(all, &g.Ecosystems[i])
	}
	for _, feed := range []*Coverage{g.KEV, g.EPSS} {
		if feed != nil {
			all = append(all, feed)
		}
	}
	return all
}

// find returns the coverage of a feed or of an ecosystem's base name, or nil.
func (g *Generation) find(base string) *Coverage {
	switch base {
	case kevFeed:
		return g.KEV
	case epssFeed:
		return g.EPSS
	}
	for i := range g.Ecosystems {
		if g.Ecosystems[i].Ecosystem == base {
			return &g.Ecosystems[i]
		}
	}
	return nil
}

// put adds c or replaces the one with its name.
func (g *Generation) put(c Coverage) {
	switch c.Ecosystem {
	case kevFeed:
		g.KEV = &c
		return
	case epssFeed:
		g.EPSS = &c
		return
	}
	if old := g.find(c.Ecosystem); old != nil {
		*old = c
		return
	}
	g.Ecosystems = append(g.Ecosystems, c)
	slices.SortFunc(g.Ecosystems, func(a, b Coverage) int { return cmp.Compare(a.Ecosystem, b.Ecosystem) })
}

// identify sets the ID from the files' hashes.
func (g *Generation) identify() {
	h := sha256.New()
	for _, c := range g.all() {
		h.Write([]byte(strings.Join([]string{c.Ecosystem, c.FileSHA256, ""}, "\n")))
	}
	g.ID = hex.EncodeToString(h.Sum(nil)[:8])
}

// clone returns a copy that can be changed without changing g.
func (g *Generation) clone() *Generation {
	copied := *g
	copied.Ecosystems = slices.Clone(g.Ecosystems)
	return &copied
}
