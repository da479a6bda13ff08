package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"github.com/cilium/ebpf"
)

// batch is how many entries one system call writes or reads.
const batch = 4096

func familyOf(p netip.Prefix) int {
	if p.Addr().Is6() {
		return 1
	}
	return 0
}

// The kernel's struct key4 and key6: the address's bytes, then the length as a number.
type (
	key4 = [8]byte
	key6 = [20]byte
)

// keyOf returns a masked prefix as the kernel's struct key4 or key6.
func keyOf(p netip.Prefix) []byte {
	return binary.NativeEndian.AppendUint32(p.Addr().AsSlice(), uint32(p.Bits()))
}

func prefixOf(key []byte) netip.Prefix {
	at := len(key) - 4
	addr, _ := netip.AddrFromSlice(key[:at])
	return netip.PrefixFrom(addr, int(binary.NativeEndian.Uint32(key[at:])))
}

func valueOf(e Entry, at clock) programEntry {
	v := programEntry{Reason: e.Reason, Packets: e.Packets, Bytes: e.Bytes}
	if e.Monitor {
		v.Monitor = 1
	}
	if !e.Expires.IsZero() {
		v.Expires = max(1, at.to(e.Expires))
	}
	return v
}

func entryOf(p netip.Prefix, v programEntry, at clock) Entry {
	e := Entry{Prefix: p, Reason: v.Reason, Monitor: v.Monitor != 0, Packets: v.Packets, Bytes: v.Bytes}
	if v.Expires != 0 {
		e.Expires = at.from(v.Expires)
	}
	return e
}

func (f *Filter) clock() clock {
	if f.replay {
		return clock{}
	}
	return kernelClock(time.Now())
}

// write puts entries into a map in batches and returns how many went in.
func (f *Filter) write(family int, entries []Entry) (int, error) {
	for done := 0; done < len(entries); {
		part := entries[done:min(done+batch, len(entries))]
		n, err := f.writeBatch(family, part)
		done += n
		if err != nil {
			return done, fmt.Errorf("block %v: %w", entries[min(done, len(entries)-1)].Prefix, full(err))
		}
	}
	return len(entries), nil
}

func (f *Filter) writeBatch(family int, part []Entry) (int, error) {
	if family == 0 {
		return f.maps.block[0].BatchUpdate(keysOf[key4](part), f.valuesOf(part), nil)
	}
	return f.maps.block[1].BatchUpdate(keysOf[key6](part), f.valuesOf(part), nil)
}

func keysOf[K key4 | key6](part []Entry) []K {
	keys := make([]K, len(part))
	for i, e := range part {
		copy(raw(&keys[i]), keyOf(e.Prefix))
	}
	return keys
}

func (f *Filter) valuesOf(part []Entry) []programEntry {
	clock := f.clock()
	values := make([]programEntry, len(part))
	for i, e := range part {
		values[i] = valueOf(e, clock)
	}
	return values
}

// full turns the kernel's "argument list too long" into what it means.
func full(err error) error {
	if errors.Is(err, syscall.E2BIG) || errors.Is(err, syscall.ENOMEM) {
		return fmt.Errorf("%w: raise blocklist_max_entries", ErrFull)
	}
	return err
}

// each calls fn with every entry of a map.
func each(family int, m *ebpf.Map, fn func(netip.Prefix, programEntry)) error {
	if family == 0 {
		return eachOf[key4](m, fn)
	}
	return eachOf[key6](m, fn)
}

func eachOf[K key4 | key6](m *ebpf.Map, fn func(netip.Prefix, programEntry)) error {
	keys := make([]K, batch)
	values := make([]programEntry, batch)
	var cursor ebpf.MapBatchCursor
	for {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		for i := range n {
			fn(prefixOf(raw(&keys[i])), values[i])
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", m, err)
		}
	}
}
