package bpf

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
)

// ErrFull is returned when a list has no room for another entry.
var ErrFull = errors.New("no room in the kernel's list")

// MaxAllowed bounds the allow list, for IPv4 and for IPv6 each.
const MaxAllowed = 4096

// FilterOptions sizes and places a Filter.
type FilterOptions struct {
	// MaxEntries bounds the blocklist, for IPv4 and for IPv6 each. 0 means 10,000.
	MaxEntries int
	// Pins is the folder of a bpf file system to pin the maps in, such as /sys/fs/bpf/ironpost; it is made if it is
	// missing. Empty: the maps live as long as the Filter and the programs that use it.
	Pins string
	// Replay makes expiries wall-clock times, to be compared with the time given to Engine.Run.
	Replay bool
}

// Entry is one prefix of the blocklist.
type Entry struct {
	// Prefix is masked by Block; IPv4-mapped IPv6 prefixes are taken for IPv4.
	Prefix netip.Prefix
	// Expires is when the entry ends to hold. Zero: never.
	Expires time.Time
	// Reason is the caller's number for why; the kernel keeps it, and counts what it drops by the lowest two bits.
	Reason uint32
	// Monitor counts what would be dropped and lets it pass.
	Monitor bool
	// Packets and Bytes count what met the entry. Block ignores them; Blocked fills them.
	Packets, Bytes uint64
}

// Filter is the allow list and the blocklist in the kernel. The allow list wins over any entry of the blocklist. Its
// methods may be called concurrently; one process at a time may hold a pinned Filter.
type Filter struct {
	replay bool

	mu      sync.Mutex
	maps    filterMaps
	filter  memory
	bloom   memory
	mirror  programFilter
	index   *index
	lengths map[[2]bool]*lengthList
}

// Block adds entries, or replaces those with the same prefix while their hits go on. It returns ErrFull, having added
// what fits, where there is no room. A prefix that is not valid is an error.
func (f *Filter) Block(entries []Entry) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var fresh [2][]Entry
	seen := make(map[netip.Prefix]int, len(entries))
	for _, e := range entries {
		p, err := normal(e.Prefix)
		if err != nil {
			return fmt.Errorf("block: %w", err)
		}
		e.Prefix, e.Packets, e.Bytes = p, 0, 0
		family := familyOf(p)
		if at, twice := seen[p]; twice {
			fresh[family][at] = e
			continue
		}
		replaced, err := f.replace(e)
		if err != nil {
			return err
		}
		if !replaced {
			seen[p] = len(fresh[family])
			fresh[family] = append(fresh[family], e)
		}
	}
	return errors.Join(f.insert(0, fresh[0]), f.insert(1, fresh[1]))
}

// replace updates an entry that is there; the Bloom filter spares most look-ups.
func (f *Filter) replace(e Entry) (bool, error) {
	if !f.index.has(e.Prefix) {
		return false, nil
	}
	m := f.maps.block[familyOf(e.Prefix)]
	key := keyOf(e.Prefix)
	var old programEntry
	err := m.Lookup(key, &old)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look %v up: %w", e.Prefix, err)
	}
	value := valueOf(e, f.clock())
	value.Packets, value.Bytes = old.Packets, old.Bytes
	if err := m.Put(key, &value); err != nil {
		return false, fmt.Errorf("replace %v: %w", e.Prefix, err)
	}
	return true, nil
}

// insert adds what is not there yet: first the bits that let the program look, then the entries.
func (f *Filter) insert(family int, entries []Entry) error {
	if len(entries) == 0 {
		return nil
	}
	for _, e := range entries {
		f.index.add(e.Prefix, false)
	}
	if err := f.publish(); err != nil {
		return err
	}
	done, err := f.write(family, entries)
	if err == nil {
		return nil
	}
	for _, e := range entries[done:] {
		f.index.remove(e.Prefix, false)
	}
	return errors.Join(err, f.publish())
}

// Unblock removes entries; prefixes that are not there are ignored.
func (f *Filter) Unblock(prefixes []netip.Prefix) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range prefixes {
		p, err := normal(p)
		if err != nil {
			return fmt.Errorf("unblock: %w", err)
		}
		err = f.maps.block[familyOf(p)].Delete(keyOf(p))
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			continue
		}
		if err != nil {
			return errors.Join(fmt.Errorf("unblock %v: %w", p, err), f.publish())
		}
		f.index.remove(p, false)
	}
	return f.publish()
}

// Blocked returns all entries with their hits, expired ones included, in no order.
func (f *Filter) Blocked() ([]Entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var entries []Entry
	at := f.clock()
	for family, m := range f.maps.block {
		err := each(family, m, func(p netip.Prefix, v programEntry) {
			entries = append(entries, entryOf(p, v, at))
		})
		if err != nil {
			return nil, err
		}
	}
	return entries, nil
}

// Allow replaces the allow list (at most 4,096 prefixes of either family). What was and stays allowed is so at every moment.
func (f *Filter) Allow(prefixes []netip.Prefix) error {
	want := make(map[netip.Prefix]bool, len(prefixes))
	for _, p := range prefixes {
		p, err := normal(p)
		if err != nil {
			return fmt.Errorf("allow: %w", err)
		}
		want[p] = true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	have, err := f.allowed()
	if err != nil {
		return err
	}
	var added, all []netip.Prefix
	for p := range want {
		all = append(all, p)
		if !have[p] {
			added = append(added, p)
		}
	}
	if err := f.addAllowed(added, have); err != nil {
		return err
	}
	return f.removeAllowed(have, want, all)
}

// addAllowed puts what is new beside what is there.
func (f *Filter) addAllowed(added []netip.Prefix, have map[netip.Prefix]bool) error {
	for _, p := range added {
		f.index.add(p, true)
	}
	f.mirror.Allowed = f.index.allowBloom(slices.AppendSeq(slices.Clone(added), maps.Keys(have)))
	if err := f.publish(); err != nil {
		return err
	}
	for i, p := range added {
		err := f.maps.allow[familyOf(p)].Put(keyOf(p), &programEntry{})
		if err == nil {
			continue
		}
		for _, missing := range added[i:] {
			f.index.remove(missing, true)
		}
		return errors.Join(fmt.Errorf("allow %v: %w", p, full(err)), f.publish())
	}
	return nil
}

func (f *Filter) removeAllowed(have, want map[netip.Prefix]bool, all []netip.Prefix) error {
	for p := range have {
		if want[p] {
			continue
		}
		if err := f.maps.allow[familyOf(p)].Delete(keyOf(p)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("allow %v no more: %w", p, err)
		}
		f.index.remove(p, true)
	}
	f.mirror.Allowed = f.index.allowBloom(all)
	return f.publish()
}

// Allowed returns the allow list in no order.
func (f *Filter) Allowed() ([]netip.Prefix, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	have, err := f.allowed()
	prefixes := make([]netip.Prefix, 0, len(have))
	for p := range have {
		prefixes = append(prefixes, p)
	}
	return prefixes, err
}

func (f *Filter) allowed() (map[netip.Prefix]bool, error) {
	have := map[netip.Prefix]bool{}
	for family, m := range f.maps.allow {
		if err := each(family, m, func(p netip.Prefix, _ programEntry) { have[p] = true }); err != nil {
			return nil, err
		}
	}
	return have, nil
}

// Close lets go of the maps; pinned ones and those in use by an attached program live on.
func (f *Filter) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.maps.close()
}

// publish writes what the index says into the kernel.
func (f *Filter) publish() error {
	for key, list := range f.lengths {
		if err := list.set(f.index.lengthsOf(key[0], key[1])); err != nil {
			return fmt.Errorf("write prefix lengths: %w", err)
		}
	}
	stale := &f.index.stale
	return errors.Join(
		storeSpan(f.bloom, 0, f.index.bloom, &stale.bloom),
		storeSpan(f.filter, unsafe.Offsetof(f.mirror.Near4), f.mirror.Near4[:], &stale.near4),
		storeSpan(f.filter, unsafe.Offsetof(f.mirror.Near6), f.mirror.Near6[:], &stale.near6),
		store(f.filter, unsafe.Offsetof(f.mirror.Prefix4), &f.mirror.Prefix4),
		store(f.filter, unsafe.Offsetof(f.mirror.Prefix6), &f.mirror.Prefix6),
		store(f.filter, unsafe.Offsetof(f.mirror.AllowPrefix4), &f.mirror.AllowPrefix4),
		store(f.filter, unsafe.Offsetof(f.mirror.AllowPrefix6), &f.mirror.AllowPrefix6),
		store(f.filter, unsafe.Offsetof(f.mirror.Allowed), &f.mirror.Allowed),
		store(f.filter, unsafe.Offsetof(f.mirror.AllowShort6), &f.mirror.AllowShort6),
		store(f.filter, unsafe.Offsetof(f.mirror.Short6), &f.mirror.Short6),
		store(f.filter, unsafe.Offsetof(f.mirror.Count4), &f.mirror.Count4),
		store(f.filter, unsafe.Offsetof(f.mirror.Count6), &f.mirror.Count6),
	)
}
