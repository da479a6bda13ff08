package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"
	"unsafe"

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

// keySizes are those of struct key4 and struct key6.
var keySizes = [2]int{8, 20}

// keyOf returns a masked prefix as the kernel's struct key4 or key6.
func keyOf(p netip.Prefix) []byte {
	addr := p.Addr().AsSlice()
	return binary.NativeEndian.AppendUint32(addr, uint32(p.Bits()))
}

func prefixOf(key []byte) netip.Prefix {
	at := len(key) - 4
	addr, _ := netip.AddrFromSlice(key[:at])
	return netip.PrefixFrom(addr, int(binary.NativeEndian.Uint32(key[at:])))
}

func (f *Filter) valueOf(e Entry) programEntry {
	v := programEntry{Reason: e.Reason, Packets: e.Packets, Bytes: e.Bytes}
	if e.Monitor {
		v.Monitor = 1
	}
	if !e.Expires.IsZero() {
		v.Expires = max(1, f.clock().to(e.Expires))
	}
	return v
}

func (f *Filter) entryOf(p netip.Prefix, v programEntry) Entry {
	e := Entry{Prefix: p, Reason: v.Reason, Monitor: v.Monitor != 0, Packets: v.Packets, Bytes: v.Bytes}
	if v.Expires != 0 {
		e.Expires = f.clock().from(v.Expires)
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
	m := f.maps.block[family]
	for done := 0; done < len(entries); {
		part := entries[done:min(done+batch, len(entries))]
		keys := make([]byte, 0, len(part)*keySizes[family])
		values := make([]programEntry, 0, len(part))
		for _, e := range part {
			keys = append(keys, keyOf(e.Prefix)...)
			values = append(values, f.valueOf(e))
		}
		n, err := updateBatch(m, keySizes[family], keys, values)
		done += n
		if err != nil {
			return done, fmt.Errorf("block %v: %w", entries[min(done, len(entries)-1)].Prefix, full(err))
		}
	}
	return len(entries), nil
}

func updateBatch(m *ebpf.Map, size int, keys []byte, values []programEntry) (int, error) {
	if size == 8 {
		return m.BatchUpdate(unsafe.Slice((*[8]byte)(unsafe.Pointer(unsafe.SliceData(keys))), len(values)), values, nil)
	}
	return m.BatchUpdate(unsafe.Slice((*[20]byte)(unsafe.Pointer(unsafe.SliceData(keys))), len(values)), values, nil)
}

// full turns the kernel's "argument list too long" into what it means.
func full(err error) error {
	if errors.Is(err, syscall.E2BIG) || errors.Is(err, syscall.ENOMEM) {
		return fmt.Errorf("%w: raise blocklist_max_entries", ErrFull)
	}
	return err
}

// each calls fn with every entry of a map.
func (f *Filter) each(family int, m *ebpf.Map, fn func(netip.Prefix, programEntry)) error {
	size := keySizes[family]
	keys := make([]byte, batch*size)
	values := make([]programEntry, batch)
	var cursor ebpf.MapBatchCursor
	for {
		n, err := lookupBatch(m, &cursor, size, keys, values)
		for i := range n {
			fn(prefixOf(keys[i*size:(i+1)*size]), values[i])
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", m, err)
		}
	}
}

func lookupBatch(m *ebpf.Map, cursor *ebpf.MapBatchCursor, size int, keys []byte, values []programEntry) (int, error) {
	if size == 8 {
		return m.BatchLookup(cursor, unsafe.Slice((*[8]byte)(unsafe.Pointer(unsafe.SliceData(keys))), len(values)), values, nil)
	}
	return m.BatchLookup(cursor, unsafe.Slice((*[20]byte)(unsafe.Pointer(unsafe.SliceData(keys))), len(values)), values, nil)
}
