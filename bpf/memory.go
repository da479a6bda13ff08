package bpf

import (
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
)

// memory reads and writes a map that is mapped into the process.
type memory struct{ *ebpf.Memory }

func mapped(m *ebpf.Map) (memory, error) {
	mem, err := m.Memory()
	if err != nil {
		return memory{}, fmt.Errorf("map the kernel's %s into memory: %w", m, err)
	}
	return memory{mem}, nil
}

// load copies what lies at offset into *to, which must be of plain numbers only.
func load[T any](m memory, offset uintptr, to *T) error {
	_, err := m.ReadAt(raw(to), int64(offset))
	return err
}

// store copies *from, of plain numbers only, to offset.
func store[T any](m memory, offset uintptr, from *T) error {
	_, err := m.WriteAt(raw(from), int64(offset))
	return err
}

// raw is the memory of plain numbers. All unsafe pointers of the package are made here.
func raw[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v)) //nolint:gosec // within *v
}

// rawSlice is the memory of a slice of plain numbers.
func rawSlice[T any](s []T) []byte {
	var one T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), uintptr(len(s))*unsafe.Sizeof(one)) //nolint:gosec // within s
}

// span is a part of a table, from its first element to before end.
type span struct{ first, end int }

func (s *span) touch(at int) {
	if s.first == s.end {
		*s = span{at, at + 1}
	}
	s.first, s.end = min(s.first, at), max(s.end, at+1)
}

// storeSpan copies a part of a table of plain numbers, which begins at offset, and empties the span.
func storeSpan[T any](m memory, offset uintptr, table []T, s *span) error {
	part := table[s.first:s.end]
	if len(part) == 0 {
		return nil
	}
	_, err := m.WriteAt(rawSlice(part), int64(offset)+int64(s.first)*int64(unsafe.Sizeof(*new(T))))
	if err == nil {
		*s = span{}
	}
	return err
}
