package bpf

import (
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
)

// memory is a map that is mapped into the process.
type memory struct{ *ebpf.Memory }

func mapMemory(m *ebpf.Map) (memory, error) {
	mem, err := m.Memory()
	if err != nil {
		return memory{}, fmt.Errorf("map the kernel's %s into memory: %w", m, err)
	}
	return memory{mem}, nil
}

// load copies the value at offset into *to, a type of plain numbers.
func load[T any](m memory, offset uintptr, to *T) error {
	_, err := m.ReadAt(bytesOf(to), int64(offset))
	return err
}

// store copies *from, of a type of plain numbers, to offset.
func store[T any](m memory, offset uintptr, from *T) error {
	_, err := m.WriteAt(bytesOf(from), int64(offset))
	return err
}

// bytesOf returns the memory of a value of plain numbers. All unsafe pointers of the package are made in this file.
func bytesOf[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v)) //nolint:gosec // within *v
}

// sliceBytes returns the memory of a slice of plain numbers.
func sliceBytes[T any](s []T) []byte {
	var one T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), uintptr(len(s))*unsafe.Sizeof(one)) //nolint:gosec // within s
}

// span is the part of a table from the element first to before end.
type span struct{ first, end int }

// touch extends the span to the element at.
func (s *span) touch(at int) {
	if s.first == s.end {
		*s = span{at, at + 1}
	}
	s.first, s.end = min(s.first, at), max(s.end, at+1)
}

// storeSpan copies the part s of table, a table of plain numbers at offset, and empties s.
func storeSpan[T any](m memory, offset uintptr, table []T, s *span) error {
	part := table[s.first:s.end]
	if len(part) == 0 {
		return nil
	}
	_, err := m.WriteAt(sliceBytes(part), int64(offset)+int64(s.first)*int64(unsafe.Sizeof(*new(T))))
	if err == nil {
		*s = span{}
	}
	return err
}
