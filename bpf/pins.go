package bpf

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/bits"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"unsafe"

	"github.com/cilium/ebpf"
)

// filterMaps are the maps of a Filter.
type filterMaps struct {
	filters, bloom *ebpf.Map
	scopes         *ebpf.Map
	allow, block   [2]*ebpf.Map // IPv4, IPv6
}

// named returns the maps by their name in the object, which is also the name of the pin: a map that is renamed finds no pin of an
// earlier version.
func (m *filterMaps) named() map[string]**ebpf.Map {
	return map[string]**ebpf.Map{
		programMapFilters: &m.filters, programMapBloom: &m.bloom, programMapScopes: &m.scopes,
		programMapAllow4: &m.allow[0], programMapAllow6: &m.allow[1],
		programMapBlock4: &m.block[0], programMapBlock6: &m.block[1],
	}
}

func (m *filterMaps) close() error {
	var errs []error
	for _, p := range m.named() {
		if *p != nil {
			errs = append(errs, (*p).Close())
		}
	}
	return errors.Join(errs...)
}

// The pins are in a folder of their own, so that one rename replaces all of them. A set that was not completed when the process died
// has the other folder's name.
const (
	pinnedSet  = "filter"
	pinnedNext = "filter_next"
)

// OpenFilter makes the lists, or adopts those pinned in opts.Pins: entries, expiries and counts are kept, and pinned lists of another
// size are replaced by lists of the right size with the same entries. The error says which feature of the kernel, privilege or file
// system is missing.
func OpenFilter(opts FilterOptions) (*Filter, error) {
	if opts.MaxEntries == 0 {
		opts.MaxEntries = 10_000
	}
	if err := removeMemlock(); err != nil {
		return nil, err
	}
	if opts.Pins == "" {
		return newFilter(opts)
	}
	if err := os.MkdirAll(opts.Pins, 0o700); err != nil {
		return nil, fmt.Errorf("make %s (is a bpf file system mounted?): %w", opts.Pins, err)
	}
	old, err := adopt(opts)
	if err != nil {
		return nil, err
	}
	if old != nil && old.maps.block[0].MaxEntries() == uint32(opts.MaxEntries) && old.mirror.bloomWords == bloomWords(opts.MaxEntries) {
		return old, nil
	}
	return replaceSet(opts, old)
}

// adopt opens the pinned set; nil if there is none. A set with another layout is returned without an index: it can only be copied.
func adopt(opts FilterOptions) (*Filter, error) {
	f := &Filter{replay: opts.Replay}
	for _, set := range []string{pinnedSet, pinnedNext} {
		err := f.maps.openPins(filepath.Join(opts.Pins, set))
		if errors.Is(err, fs.ErrNotExist) {
			_ = f.maps.close()
			f.maps = filterMaps{}
			continue
		}
		if err != nil {
			return nil, errors.Join(err, f.maps.close())
		}
		if f.maps.scopes == nil {
			return f, nil // of an earlier version: it is copied
		}
		err = f.rebuildIndex()
		if err != nil && !errors.Is(err, errLayout) {
			return nil, errors.Join(err, f.maps.close())
		}
		return f, nil
	}
	return nil, nil //nolint:nilnil // no set is no error
}

func (m *filterMaps) openPins(dir string) error {
	for name, p := range m.named() {
		found, err := ebpf.LoadPinnedMap(filepath.Join(dir, name), nil)
		if name == programMapScopes && errors.Is(err, fs.ErrNotExist) {
			continue // of an earlier version
		}
		if err != nil {
			return fmt.Errorf("adopt %s: %w", filepath.Join(dir, name), err)
		}
		*p = found
	}
	// Entries of another layout cannot even be copied.
	for family, keySize := range []uintptr{unsafe.Sizeof(key4{}), unsafe.Sizeof(key6{})} {
		for _, list := range []*ebpf.Map{m.allow[family], m.block[family]} {
			if list.KeySize() != uint32(keySize) || list.ValueSize() != uint32(unsafe.Sizeof(programEntry{})) {
				return fmt.Errorf("adopt %s: entries have the layout of another version: remove the pins to start with empty lists", list)
			}
		}
	}
	return nil
}

// rebuildIndex computes the index from the entries of the lists and writes it.
func (f *Filter) rebuildIndex() error {
	if err := f.openMemory(); err != nil {
		return err
	}
	for family := range 2 {
		err := errors.Join(
			forEach(family, f.maps.block[family], func(p netip.Prefix, _ programEntry) { f.index.add(p, false) }),
			forEach(family, f.maps.allow[family], func(p netip.Prefix, _ programEntry) { f.index.add(p, true) }),
		)
		if err != nil {
			return err
		}
	}
	allowed, err := f.allowed()
	if err != nil {
		return err
	}
	f.mirror.allowBloom = f.index.allowBloom(slices.Collect(maps.Keys(allowed)))
	return f.writeIndex()
}

// openMemory maps the filter's tables into memory and makes an empty index with the seeds in use.
func (f *Filter) openMemory() (err error) {
	if f.maps.filters.ValueSize() != uint32(unsafe.Sizeof(programFilter{})) {
		return errLayout
	}
	if f.filter, err = mapMemory(f.maps.filters); err != nil {
		return err
	}
	if f.bloom, err = mapMemory(f.maps.bloom); err != nil {
		return err
	}
	err = errors.Join(load(f.filter, unsafe.Offsetof(programFilter{}.Seed), &f.mirror.seed),
		load(f.filter, unsafe.Offsetof(programFilter{}.BloomWords), &f.mirror.bloomWords))
	if err != nil {
		return err
	}
	f.index = newIndex(&f.mirror)
	f.lengths = lengthLists(f.filter)
	for _, l := range f.lengths {
		if err := l.read(); err != nil {
			return err
		}
	}
	return nil
}

var errLayout = errors.New("the pinned filter has the layout of another version")

// replaceSet makes a set of the right size with the entries of old, which may be nil, and pins it in old's place.
func replaceSet(opts FilterOptions, old *Filter) (*Filter, error) {
	f, err := newFilter(opts)
	if err != nil {
		return nil, err
	}
	if old != nil {
		err = errors.Join(f.copyFrom(old), old.maps.close())
	}
	if err == nil {
		err = f.maps.pin(opts.Pins)
	}
	if err != nil {
		return nil, errors.Join(err, f.maps.close())
	}
	return f, nil
}

func (f *Filter) copyFrom(old *Filter) error {
	allowed, err := old.Allowed()
	if err != nil {
		return err
	}
	entries, err := old.Blocked()
	if err != nil {
		return err
	}
	var families [2][]Entry
	for _, e := range entries {
		families[familyIndex(e.Prefix)] = append(families[familyIndex(e.Prefix)], e)
	}
	if old.maps.scopes != nil {
		scopes, err := old.Scopes()
		if err != nil {
			return err
		}
		if err := f.SetScopes(scopes); err != nil {
			return err
		}
	}
	return errors.Join(f.Allow(allowed), f.insert(0, families[0]), f.insert(1, families[1]))
}

// pin pins the maps beside the pinned set, then replaces it.
func (m *filterMaps) pin(dir string) error {
	next, set := filepath.Join(dir, pinnedNext), filepath.Join(dir, pinnedSet)
	if err := os.RemoveAll(next); err != nil {
		return fmt.Errorf("clear %s: %w", next, err)
	}
	if err := os.Mkdir(next, 0o700); err != nil {
		return fmt.Errorf("make %s: %w", next, err)
	}
	for name, p := range m.named() {
		if err := (*p).Pin(filepath.Join(next, name)); err != nil {
			return fmt.Errorf("pin %s (is a bpf file system mounted there?): %w", filepath.Join(next, name), err)
		}
	}
	if err := os.RemoveAll(set); err != nil {
		return fmt.Errorf("clear %s: %w", set, err)
	}
	if err := os.Rename(next, set); err != nil {
		return fmt.Errorf("rename pins to %s: %w", set, err)
	}
	return nil
}

func newFilter(opts FilterOptions) (*Filter, error) {
	spec, err := loadProgram()
	if err != nil {
		return nil, fmt.Errorf("read the packet program: %w", err)
	}
	spec.Maps[programMapBlock4].MaxEntries = uint32(opts.MaxEntries)
	spec.Maps[programMapBlock6].MaxEntries = uint32(opts.MaxEntries)
	spec.Maps[programMapBloom].MaxEntries = uint32(bloomWords(opts.MaxEntries))
	f := &Filter{replay: opts.Replay}
	for name, p := range f.maps.named() {
		if *p, err = ebpf.NewMap(spec.Maps[name]); err != nil {
			return nil, errors.Join(fmt.Errorf("make map %s: %w", name, explain(err)), f.maps.close())
		}
	}
	if err := f.writeSeeds(newSeeds(opts.Replay), bloomWords(opts.MaxEntries)); err != nil {
		return nil, errors.Join(fmt.Errorf("write the seeds: %w", err), f.maps.close())
	}
	if err := f.openMemory(); err != nil {
		return nil, errors.Join(err, f.maps.close())
	}
	return f, nil
}

// writeSeeds writes what stays the same as long as the maps do.
func (f *Filter) writeSeeds(s seeds, words uint64) error {
	m, err := mapMemory(f.maps.filters)
	if err != nil {
		return err
	}
	return errors.Join(store(m, unsafe.Offsetof(programFilter{}.Seed), &s), store(m, unsafe.Offsetof(programFilter{}.BloomWords), &words))
}

// bloomWords returns the size of the Bloom filter in words: eight to sixteen bits per entry, so that with three bits set for each at
// most 3 % of unlisted addresses are looked up, and at least 8 KiB.
func bloomWords(entries int) uint64 {
	return max(1024, uint64(1)<<bits.Len64(uint64(entries*8-1)/64))
}

// newSeeds returns secret odd multipliers; in replay, fixed ones, so that a capture gives the same estimates each time.
func newSeeds(replay bool) seeds {
	b := sha256.Sum256([]byte("replay"))
	if !replay {
		_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	}
	var s seeds
	for i := range s {
		s[i] = binary.NativeEndian.Uint64(b[i*8:]) | 1
	}
	return s
}
