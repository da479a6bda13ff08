package journal

import (
	"maps"
	"time"
)

const (
	stateVersion = 1
	// forgetAfter is how long the position in a file is kept that is gone: it may come back, with the disk that it is on.
	forgetAfter = 48 * time.Hour
)

// State is how far the journal was taken. It marshals to JSON.
type State struct {
	Version int `json:"version"`
	// Begun is when reading began: of the files that the first look finds, entries before it are not read.
	Begun time.Time `json:"begun"`
	// Looked says that there was that look: every other file is read from its start.
	Looked bool `json:"looked"`
	// Files holds the position in each file, by its id, which it keeps when it is renamed.
	Files map[ID]Position `json:"files"`
	// Vacuumed counts the entries that were deleted before they were read, as far as their number is known, VacuumedUnknown how often it is not.
	// After a crash what was read since the state was saved counts, too: it cannot be read again.
	Vacuumed        uint64 `json:"vacuumed"`
	VacuumedUnknown uint64 `json:"vacuumed_unknown"`
}

// Position is how far one file was taken, and what was known of it then.
type Position struct {
	Stream  string `json:"stream"`  // without the suffix of a path
	Next    uint64 `json:"next"`    // index of the entry to take next
	Entries uint64 `json:"entries"` // that the file had
	Seqnums ID     `json:"seqnums"` // which counter numbers them
	Tail    uint64 `json:"tail"`    // the last number
	// Boot, First and Last are the monotonic times of what was taken from a file of the volatile journal: a flush copies it.
	Boot  ID     `json:"boot,omitzero"`
	First uint64 `json:"first,omitempty"`
	Last  uint64 `json:"last,omitempty"`
	// Gone is when it was found deleted.
	Gone time.Time `json:"gone,omitzero"`
}

func (p Position) unread() uint64 { return p.Entries - min(p.Next, p.Entries) }

func (s State) clone() State {
	s.Files = maps.Clone(s.Files)
	return s
}
