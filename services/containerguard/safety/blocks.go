package safety

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ironpost/ironpost/internal/folder"
)

// minuteShare divides the new blocks of a minute: one source of evidence may cause one part of them.
const minuteShare = 2

// BlockLimits are the caps on automatic blocks: how many are new in any minute, of one source of evidence half of
// that, how many there are at a time, and how many of these by the evidence of one source.
type BlockLimits struct {
	PerMinute int
	Total     int
	PerSource int
}

// BlockCandidate is an address or network to be blocked.
type BlockCandidate struct {
	Key      string // of the entry in the blocklist
	Source   string // of the evidence
	Strength int    // of the evidence
	Expires  time.Time
}

// Blocks counts the automatic blocks of this guard that are in force. It is on disk when Save returns. Its methods may
// be called concurrently.
type Blocks struct {
	file stateFile

	mu      sync.Mutex
	limits  BlockLimits
	version uint64
	data    blocksData
}

// blocksData is the content of the file.
type blocksData struct {
	Held   map[string]heldBlock `json:"held"`   // by key, at most BlockLimits.Total
	Recent []recentBlock        `json:"recent"` // of the last minute
}

type heldBlock struct {
	Source   string    `json:"source"`
	Strength int       `json:"strength"`
	Since    time.Time `json:"since"`
	Expires  time.Time `json:"expires"`
}

type recentBlock struct {
	At       time.Time `json:"at"`
	Source   string    `json:"source,omitempty"` // missing in files of earlier versions
	Strength int       `json:"strength"`
}

// NewBlocks returns no blocks, in memory only. Save must not be called.
func NewBlocks(limits BlockLimits) *Blocks {
	return &Blocks{limits: limits, data: blocksData{Held: map[string]heldBlock{}}}
}

// OpenBlocks reads the blocks in files, as OpenState does.
func OpenBlocks(files *folder.Folder, limits BlockLimits) (b *Blocks, damage string, err error) {
	b = &Blocks{file: stateFile{folder: files, name: "blocks.json"}, limits: limits}
	damage, err = b.file.load(&b.data)
	if damage != "" {
		b.data = blocksData{}
	}
	if b.data.Held == nil {
		b.data.Held = map[string]heldBlock{}
	}
	return b, damage, err
}

// SetLimits changes the caps. Blocks beyond the new ones stay.
func (b *Blocks) SetLimits(l BlockLimits) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limits = l
}

// Admit counts c as blocked from now, or returns the cap that forbids it. Where there is no room, c takes the place of
// a weaker block, of the weakest the one that ends first: its key is yields, and it is to be removed. An equally strong
// one never gives way, and weaker blocks of the last minute do not count against a stronger one. A block that is counted
// already is only extended.
func (b *Blocks) Admit(c BlockCandidate, now time.Time) (yields, refused string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dropOld(now)
	if have, known := b.data.Held[c.Key]; known {
		have.Strength = max(have.Strength, c.Strength)
		if c.Expires.After(have.Expires) {
			have.Expires = c.Expires.UTC()
		}
		b.data.Held[c.Key] = have
		b.version++
		return "", ""
	}
	if yields, refused = b.room(c); refused != "" {
		return "", refused
	}
	delete(b.data.Held, yields)
	b.data.Held[c.Key] = heldBlock{Source: c.Source, Strength: c.Strength, Since: now.UTC(), Expires: c.Expires.UTC()}
	b.data.Recent = append(b.data.Recent, recentBlock{At: now.UTC(), Source: c.Source, Strength: c.Strength})
	b.version++
	return yields, ""
}

// Check returns the cap that forbids c, "" if there is room for it.
func (b *Blocks) Check(c BlockCandidate, now time.Time) (refused string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dropOld(now)
	if _, known := b.data.Held[c.Key]; known {
		return ""
	}
	_, refused = b.room(c)
	return refused
}

// room returns the key of the block that gives way to c, "" if none must, or the cap that forbids c. mu is held.
func (b *Blocks) room(c BlockCandidate) (yields, refused string) {
	if refused = b.minuteReason(c); refused != "" {
		return "", refused
	}
	ofSource, weakestOfSource := b.weakest(func(h heldBlock) bool { return h.Source == c.Source })
	all, weakest := b.weakest(func(heldBlock) bool { return true })
	gives := func(key string) bool { return key != "" && b.data.Held[key].Strength < c.Strength }
	switch {
	case ofSource >= b.limits.PerSource && !gives(weakestOfSource):
		return "", fmt.Sprintf("cap: %d addresses are blocked by the evidence of one source, container.max_blocks_per_source", ofSource)
	case ofSource >= b.limits.PerSource:
		return weakestOfSource, ""
	case all >= b.limits.Total && !gives(weakest):
		return "", fmt.Sprintf("cap: %d addresses are blocked automatically, container.max_blocks", all)
	case all >= b.limits.Total:
		return weakest, ""
	}
	return "", ""
}

// minuteReason returns the cap of the minute that forbids c, or "". mu is held.
func (b *Blocks) minuteReason(c BlockCandidate) string {
	recent, ofSource := 0, 0
	for _, r := range b.data.Recent {
		if r.Strength < c.Strength {
			continue
		}
		recent++
		if r.Source == c.Source {
			ofSource++
		}
	}
	switch {
	case recent >= b.limits.PerMinute:
		return fmt.Sprintf("cap: %d addresses were blocked within a minute, container.max_blocks_per_minute", recent)
	case ofSource >= max(1, b.limits.PerMinute/minuteShare):
		return fmt.Sprintf("cap: %d addresses were blocked within a minute by the evidence of one source, half of container.max_blocks_per_minute", ofSource)
	}
	return ""
}

// weakest returns how many blocks of selects, and the key of the weakest, of several the one that ends first. mu is held.
func (b *Blocks) weakest(of func(heldBlock) bool) (n int, key string) {
	for k, h := range b.data.Held {
		if !of(h) {
			continue
		}
		n++
		w, chosen := b.data.Held[key]
		if !chosen || h.Strength < w.Strength || h.Strength == w.Strength && h.Expires.Before(w.Expires) {
			key = k
		}
	}
	return n, key
}

func (b *Blocks) dropOld(now time.Time) {
	maps.DeleteFunc(b.data.Held, func(_ string, h heldBlock) bool { return !h.Expires.After(now) })
	b.data.Recent = slices.DeleteFunc(b.data.Recent, func(r recentBlock) bool { return now.Sub(r.At) >= admissionWindow })
}

// KeepOnly forgets the blocks whose key the blocklist does not have: someone removed them, or they could not be written. One that
// was admitted within the last minute may still be on its way.
func (b *Blocks) KeepOnly(keys map[string]bool, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	maps.DeleteFunc(b.data.Held, func(key string, h heldBlock) bool {
		removed := !keys[key] && now.Sub(h.Since) > admissionWindow
		if removed {
			b.version++
		}
		return removed
	})
}

// Count returns how many blocks are counted.
func (b *Blocks) Count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.data.Held)
}

// Save is like State.Save.
func (b *Blocks) Save() error {
	b.mu.Lock()
	version := b.version
	b.mu.Unlock()
	return b.file.save(version, func() (any, uint64) {
		b.mu.Lock()
		defer b.mu.Unlock()
		return blocksData{Held: maps.Clone(b.data.Held), Recent: slices.Clone(b.data.Recent)}, b.version
	})
}
