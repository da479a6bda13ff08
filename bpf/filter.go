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
var ErrFull = errors.New("the kernel's list is full")

// MaxAllowed bounds the allow list, for IPv4 and for IPv6 each.
const MaxAllowed = 4096

// FilterOptions are the options of a Filter.
type FilterOptions struct {
	// MaxEntries bounds the blocklist, for IPv4 and for IPv6 each. 0 means 10,000.
	MaxEntries int
	// Pins is the folder of a bpf file system to pin the maps in, such as /sys/fs/bpf/ironpost; it is made if needed.
	// Empty: the maps live as long as the Filter and the programs that use it.
	Pins string
	// Replay makes the program compare expiries with the time given to Engine.Run.
	Replay bool
}

// Entry is one prefix of the blocklist.
type Entry struct {
	// Prefix is masked by Block; IPv4-mapped IPv6 prefixes become IPv4.
	Prefix netip.Prefix
	// Expires is when the entry expires. Zero: never.
	Expires time.Time
	// Reason is a number of the caller's; the program counts dropped packets by its lowest two bits.
	Reason uint32
	// Scoped leaves it to the scopes of the prefix which packets are dropped.
	Scoped bool
	// Monitor lets packets pass and counts those that would be dropped.
	Monitor bool
	// Packets and Bytes count the packets that met the entry. Block ignores them; Blocked returns them.
	Packets, Bytes uint64
}

// Filter is the allow list and the blocklist in the kernel. The allow list wins over any entry of the blocklist. Its methods may be
// called concurrently; one process at a time may use a pinned Filter.
type Filter struct {
	replay bool

	reading sync.RWMutex // read-locked while maps are read, so that Close waits

	mu      sync.Mutex // held through writes, whose order matters: bits before entries
	maps    filterMaps
	filter  memory
	bloom   memory
	mirror  tables
	index   *index
	lengths map[[2]bool]*lengthList
}

// tables are the parts of the kernel's struct filter that change with the index, as they are to be written. The lengths of networks are
// left out: they are most of it, and follow from the index.
type tables struct {
	seed                                       [4]uint64
	bloomWords                                 uint64
	count4, count6                             uint32
	short6, allowShort6                        uint32
	prefix4, prefix32, prefix48                [coarseBits / 64]uint64
	allowPrefix4, allowPrefix32, allowPrefix48 [coarseBits / 64]uint64
	allowBloom                                 [1024]uint64
}

// Block adds entries, or replaces those with the same prefix and keeps their counts. It returns ErrFull, having added as many as fit.
// A prefix that is not valid is an error.
func (f *Filter) Block(entries []Entry) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var fresh [2][]Entry
	seen := make(map[netip.Prefix]int, len(entries))
	for _, e := range entries {
		p, err := normalize(e.Prefix)
		if err != nil {
			return fmt.Errorf("block: %w", err)
		}
		e.Prefix, e.Packets, e.Bytes = p, 0, 0
		family := familyIndex(p)
		if at, twice := seen[p]; twice {
			fresh[family][at] = e
			continue
		}
		replaced, err := f.replaceExisting(e)
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

// replaceExisting updates an existing entry and reports whether there was one. The Bloom filter makes most lookups unnecessary.
func (f *Filter) replaceExisting(e Entry) (bool, error) {
	if !f.index.mayContain(e.Prefix) {
		return false, nil
	}
	m := f.maps.block[familyIndex(e.Prefix)]
	key := kernelKey(e.Prefix)
	var old programEntry
	err := m.Lookup(key, &old)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look up %v: %w", e.Prefix, err)
	}
	value := kernelEntry(e, clockFor(f.replay))
	value.Packets, value.Bytes = old.Packets, old.Bytes
	if err := m.Put(key, &value); err != nil {
		return false, fmt.Errorf("replace %v: %w", e.Prefix, err)
	}
	return true, nil
}

// insert adds new entries: first the bits that make the program look them up, then the entries.
func (f *Filter) insert(family int, entries []Entry) error {
	if len(entries) == 0 {
		return nil
	}
	for _, e := range entries {
		f.index.add(e.Prefix, false)
	}
	if err := f.writeIndex(); err != nil {
		return err
	}
	done, err := f.writeEntries(family, entries)
	if err == nil {
		return nil
	}
	for _, e := range entries[done:] {
		f.index.remove(e.Prefix, false)
	}
	return errors.Join(err, f.writeIndex())
}

// Unblock removes entries; prefixes without an entry are ignored.
func (f *Filter) Unblock(prefixes []netip.Prefix) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range prefixes {
		p, err := normalize(p)
		if err != nil {
			return fmt.Errorf("unblock: %w", err)
		}
		err = f.maps.block[familyIndex(p)].Delete(kernelKey(p))
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			continue
		}
		if err != nil {
			return errors.Join(fmt.Errorf("unblock %v: %w", p, err), f.writeIndex())
		}
		f.index.remove(p, false)
	}
	return f.writeIndex()
}

// Blocked returns all entries with their counts, expired ones included, in no order. It does not delay writes: reading a million
// entries takes a second.
func (f *Filter) Blocked() ([]Entry, error) {
	f.reading.RLock()
	defer f.reading.RUnlock()
	var entries []Entry
	at := clockFor(f.replay)
	for family, m := range f.maps.block {
		err := forEach(family, m, func(p netip.Prefix, v programEntry) {
			entries = append(entries, fromKernelEntry(p, v, at))
		})
		if err != nil {
			return nil, err
		}
	}
	return entries, nil
}

// Allow replaces the allow list (at most 4,096 prefixes of either family). Prefixes in both the old and the new list are allowed at
// every moment.
func (f *Filter) Allow(prefixes []netip.Prefix) error {
	want := make(map[netip.Prefix]bool, len(prefixes))
	for _, p := range prefixes {
		p, err := normalize(p)
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

// addAllowed adds prefixes to those the list has.
func (f *Filter) addAllowed(added []netip.Prefix, have map[netip.Prefix]bool) error {
	for _, p := range added {
		f.index.add(p, true)
	}
	f.mirror.allowBloom = f.index.allowBloom(slices.AppendSeq(slices.Clone(added), maps.Keys(have)))
	if err := f.writeIndex(); err != nil {
		return err
	}
	for i, p := range added {
		err := f.maps.allow[familyIndex(p)].Put(kernelKey(p), &programEntry{})
		if err == nil {
			continue
		}
		for _, missing := range added[i:] {
			f.index.remove(missing, true)
		}
		return errors.Join(fmt.Errorf("allow %v: %w", p, explainFull(err)), f.writeIndex())
	}
	return nil
}

// removeAllowed removes the prefixes that are not wanted.
func (f *Filter) removeAllowed(have, want map[netip.Prefix]bool, all []netip.Prefix) error {
	for p := range have {
		if want[p] {
			continue
		}
		if err := f.maps.allow[familyIndex(p)].Delete(kernelKey(p)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("remove %v from the allow list: %w", p, err)
		}
		f.index.remove(p, true)
	}
	f.mirror.allowBloom = f.index.allowBloom(all)
	return f.writeIndex()
}

// Allowed returns the allow list in no order.
func (f *Filter) Allowed() ([]netip.Prefix, error) {
	have, err := f.allowed()
	return slices.Collect(maps.Keys(have)), err
}

func (f *Filter) allowed() (map[netip.Prefix]bool, error) {
	f.reading.RLock()
	defer f.reading.RUnlock()
	have := map[netip.Prefix]bool{}
	for family, m := range f.maps.allow {
		if err := forEach(family, m, func(p netip.Prefix, _ programEntry) { have[p] = true }); err != nil {
			return nil, err
		}
	}
	return have, nil
}

// Close closes the maps. Pinned ones and those of attached programs stay in force.
func (f *Filter) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reading.Lock()
	defer f.reading.Unlock()
	return f.maps.close()
}

// writeIndex writes the changed parts of the index into the kernel.
func (f *Filter) writeIndex() error {
	for key, list := range f.lengths {
		if err := list.set(f.index.lengthsOf(key[0], key[1])); err != nil {
			return fmt.Errorf("write prefix lengths: %w", err)
		}
	}
	return errors.Join(
		storeSpan(f.bloom, 0, f.index.bloom, &f.index.stale),
		f.index.netLengths4.store(f.filter, unsafe.Offsetof(programFilter{}.NetLengths4)),
		f.index.netLengths32.store(f.filter, unsafe.Offsetof(programFilter{}.NetLengths32)),
		f.index.netLengths48.store(f.filter, unsafe.Offsetof(programFilter{}.NetLengths48)),
		store(f.filter, unsafe.Offsetof(programFilter{}.Prefix4), &f.mirror.prefix4),
		store(f.filter, unsafe.Offsetof(programFilter{}.Prefix32), &f.mirror.prefix32),
		store(f.filter, unsafe.Offsetof(programFilter{}.Prefix48), &f.mirror.prefix48),
		store(f.filter, unsafe.Offsetof(programFilter{}.AllowPrefix4), &f.mirror.allowPrefix4),
		store(f.filter, unsafe.Offsetof(programFilter{}.AllowPrefix32), &f.mirror.allowPrefix32),
		store(f.filter, unsafe.Offsetof(programFilter{}.AllowPrefix48), &f.mirror.allowPrefix48),
		store(f.filter, unsafe.Offsetof(programFilter{}.AllowBloom), &f.mirror.allowBloom),
		store(f.filter, unsafe.Offsetof(programFilter{}.AllowShort6), &f.mirror.allowShort6),
		store(f.filter, unsafe.Offsetof(programFilter{}.Short6), &f.mirror.short6),
		store(f.filter, unsafe.Offsetof(programFilter{}.Count4), &f.mirror.count4),
		store(f.filter, unsafe.Offsetof(programFilter{}.Count6), &f.mirror.count6),
	)
}
