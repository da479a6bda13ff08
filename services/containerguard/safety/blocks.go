package safety

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ironpost/ironpost/internal/folder"
)

const (
	// minuteShare divides the new blocks of a minute: one source of evidence may cause one part of them.
	minuteShare = 2
	// networkShare divides the blocks at a time, of one source and in all: those of a network beyond one part give way to
	// equally strong ones of other networks.
	networkShare = 10
)

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
	Network  string // of the address: one attacker may have all of its addresses; "" if it is not known
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
	Network  string    `json:"network,omitempty"` // missing in files of earlier versions
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
// a weaker block, of the weakest the one that ends first: its key is yields, and it is to be removed once c is written. An
// equally strong one gives way only if its network has more than a tenth of the blocks, and that of c has less. Weaker
// blocks of the last minute do not count against a stronger one. A block that is counted already is only extended.
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
	b.data.Held[c.Key] = heldBlock{Source: c.Source, Network: c.Network, Strength: c.Strength, Since: now.UTC(), Expires: c.Expires.UTC()}
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
	sameSource := func(h heldBlock) bool { return h.Source == c.Source }
	ofSource := 0
	for _, h := range b.data.Held {
		if sameSource(h) {
			ofSource++
		}
	}
	switch all := len(b.data.Held); {
	case ofSource >= b.limits.PerSource:
		yields = b.group(sameSource, b.limits.PerSource).yieldsTo(c)
		refused = fmt.Sprintf("cap: %d addresses are blocked by the evidence of one source, container.max_blocks_per_source", ofSource)
	case all >= b.limits.Total:
		yields = b.group(func(heldBlock) bool { return true }, b.limits.Total).yieldsTo(c)
		refused = fmt.Sprintf("cap: %d addresses are blocked automatically, container.max_blocks", all)
	}
	if yields != "" {
		refused = ""
	}
	return yields, refused
}

// blockGroup is blocks that share a cap, and the one that gives way first.
type blockGroup struct {
	share     int            // of one network, before others go first
	byNetwork map[string]int // how many there are
	key       string         // of weakest, "" if there is none
	weakest   heldBlock
}

// group returns the blocks that of selects, of which there may be limit. mu is held.
func (b *Blocks) group(of func(heldBlock) bool, limit int) blockGroup {
	g := blockGroup{share: max(1, limit/networkShare), byNetwork: map[string]int{}}
	for _, h := range b.data.Held {
		if of(h) {
			g.byNetwork[h.Network]++
		}
	}
	for key, h := range b.data.Held {
		if of(h) && (g.key == "" || g.compare(h, g.weakest) < 0) {
			g.key, g.weakest = key, h
		}
	}
	return g
}

// compare orders by strength, then crowded networks before others, then by the end.
func (g blockGroup) compare(a, b heldBlock) int {
	order := cmp.Compare(a.Strength, b.Strength)
	if inCrowd := g.crowded(a.Network); order == 0 && inCrowd != g.crowded(b.Network) {
		order = 1
		if inCrowd {
			order = -1
		}
	}
	return cmp.Or(order, a.Expires.Compare(b.Expires))
}

// crowded reports whether a network has more than its share.
func (g blockGroup) crowded(network string) bool {
	return network != "" && g.byNetwork[network] > g.share
}

// yieldsTo returns the key of the block that gives way to c, "" if none does.
func (g blockGroup) yieldsTo(c BlockCandidate) string {
	makesRoom := g.crowded(g.weakest.Network) && c.Network != "" && g.byNetwork[c.Network] < g.share
	if g.weakest.Strength < c.Strength || g.weakest.Strength == c.Strength && makesRoom {
		return g.key
	}
	return ""
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

func (b *Blocks) dropOld(now time.Time) {
	maps.DeleteFunc(b.data.Held, func(_ string, h heldBlock) bool { return !h.Expires.After(now) })
	b.data.Recent = slices.DeleteFunc(b.data.Recent, func(r recentBlock) bool { return now.Sub(r.At) >= admissionWindow })
}

// Sync makes the counted blocks those of the blocklist, which has keys: one that it does not have was removed by someone, or could not be
// written. One that was admitted within the last minute may still be on its way. One of own, those that this guard made, that is not counted yet is,
// whatever the caps.
func (b *Blocks) Sync(keys map[string]bool, own []BlockCandidate, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	maps.DeleteFunc(b.data.Held, func(key string, h heldBlock) bool {
		removed := !keys[key] && now.Sub(h.Since) > admissionWindow
		if removed {
			b.version++
		}
		return removed
	})
	for _, c := range own {
		if _, known := b.data.Held[c.Key]; !known && c.Expires.After(now) {
			b.data.Held[c.Key] = heldBlock{Source: c.Source, Network: c.Network, Strength: c.Strength, Since: now.UTC(), Expires: c.Expires.UTC()}
			b.version++
		}
	}
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
