package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/cilium/ebpf"
)

// entriesPerCall is how many entries one system call writes or reads.
const entriesPerCall = 4096

// Values of enum action in src/filter.h.
const (
	actionMonitor = 1
	actionScoped  = 2
)

// familyIndex returns 0 for IPv4, 1 for IPv6.
func familyIndex(p netip.Prefix) int {
	if p.Addr().Is6() {
		return 1
	}
	return 0
}

// The kernel's struct key4 and key6: the bytes of the address, then the length as a number.
type (
	key4 = [8]byte
	key6 = [20]byte
)

// kernelKey returns a masked prefix as the kernel's struct key4 or key6.
func kernelKey(p netip.Prefix) []byte {
	return binary.NativeEndian.AppendUint32(p.Addr().AsSlice(), uint32(p.Bits()))
}

func fromKernelKey(key []byte) netip.Prefix {
	at := len(key) - 4
	addr, _ := netip.AddrFromSlice(key[:at])
	return netip.PrefixFrom(addr, int(binary.NativeEndian.Uint32(key[at:])))
}

func kernelEntry(e Entry, at clock) programEntry {
	v := programEntry{Reason: e.Reason, Packets: e.Packets, Bytes: e.Bytes}
	switch {
	case e.Scoped:
		v.Action = actionScoped
	case e.Monitor:
		v.Action = actionMonitor
	}
	if !e.Expires.IsZero() {
		v.Expires = max(1, at.programTime(e.Expires))
	}
	return v
}

func fromKernelEntry(p netip.Prefix, v programEntry, at clock) Entry {
	e := Entry{Prefix: p, Reason: v.Reason, Monitor: v.Action == actionMonitor, Scoped: v.Action == actionScoped, Packets: v.Packets, Bytes: v.Bytes}
	if v.Expires != 0 {
		e.Expires = at.wallTime(v.Expires)
	}
	return e
}

// writeEntries writes entries in batches and returns how many were written.
func (f *Filter) writeEntries(family int, entries []Entry) (int, error) {
	for done := 0; done < len(entries); {
		part := entries[done:min(done+entriesPerCall, len(entries))]
		n, err := f.writeBatch(family, part)
		done += n
		if err != nil {
			return done, fmt.Errorf("block %v: %w", entries[min(done, len(entries)-1)].Prefix, explainFull(err))
		}
	}
	return len(entries), nil
}

func (f *Filter) writeBatch(family int, part []Entry) (int, error) {
	if family == 0 {
		return f.maps.block[0].BatchUpdate(kernelKeys[key4](part), f.valuesOf(part), nil)
	}
	return f.maps.block[1].BatchUpdate(kernelKeys[key6](part), f.valuesOf(part), nil)
}

func kernelKeys[K key4 | key6](part []Entry) []K {
	keys := make([]K, len(part))
	for i, e := range part {
		copy(bytesOf(&keys[i]), kernelKey(e.Prefix))
	}
	return keys
}

func (f *Filter) valuesOf(part []Entry) []programEntry {
	at := clockFor(f.replay)
	values := make([]programEntry, len(part))
	for i, e := range part {
		values[i] = kernelEntry(e, at)
	}
	return values
}

// explainFull returns ErrFull for the kernel's "argument list too long".
func explainFull(err error) error {
	if errors.Is(err, syscall.E2BIG) || errors.Is(err, syscall.ENOMEM) {
		return fmt.Errorf("%w: raise blocklist_max_entries", ErrFull)
	}
	return err
}

// forEach calls fn with every entry of a map.
func forEach(family int, m *ebpf.Map, fn func(netip.Prefix, programEntry)) error {
	if family == 0 {
		return forEachIn[key4](m, fn)
	}
	return forEachIn[key6](m, fn)
}

func forEachIn[K key4 | key6](m *ebpf.Map, fn func(netip.Prefix, programEntry)) error {
	keys := make([]K, entriesPerCall)
	values := make([]programEntry, entriesPerCall)
	var cursor ebpf.MapBatchCursor
	for {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		for i := range n {
			fn(fromKernelKey(bytesOf(&keys[i])), values[i])
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", m, err)
		}
	}
}
