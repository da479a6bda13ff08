package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	typeData       = 1
	typeEntry      = 3
	typeEntryArray = 6
)

// errChain means that the entries from an index on cannot be reached.
var errChain = errors.New("the chain of entry arrays is broken")

// cursor is an entry array: it has the entries first to first+items-1. Offset 0 is before the chain.
type cursor struct{ offset, first, items uint64 }

// entryOffset returns the offset of entry i, which must be less than f.entries. The error is errChain, or of that entry alone.
func (f *File) entryOffset(i uint64) (uint64, error) {
	if i < f.chain.first {
		f.chain = cursor{}
	}
	for f.chain.offset == 0 || i >= f.chain.first+f.chain.items {
		if err := f.nextArray(); err != nil {
			return 0, fmt.Errorf("%w: %w", errChain, err)
		}
	}
	width := f.width()
	b := make([]byte, 8)
	if err := f.pages.read(f, b[:width], f.chain.offset+objectHeader+8+(i-f.chain.first)*width); err != nil {
		return 0, err
	}
	return offsetIn(b, width), nil
}

// width returns the size of an offset in an array and of an entry in bytes.
func (f *File) width() uint64 {
	if f.incompatible&flagCompact != 0 {
		return 4
	}
	return 8
}

func offsetIn(b []byte, width uint64) uint64 {
	if width == 4 {
		return uint64(binary.LittleEndian.Uint32(b))
	}
	return binary.LittleEndian.Uint64(b)
}

// nextArray moves f.chain to the next array. Arrays follow each other in rising order, so that a chain ends.
func (f *File) nextArray() error {
	next := f.array
	if f.chain.offset != 0 {
		var b [8]byte
		if err := f.pages.read(f, b[:], f.chain.offset+objectHeader); err != nil {
			return err
		}
		next = binary.LittleEndian.Uint64(b[:])
	}
	if next <= f.chain.offset {
		return fmt.Errorf("an array at %d follows one at %d", next, f.chain.offset)
	}
	o, err := f.object(next, typeEntryArray, objectHeader+8)
	if err != nil {
		return err
	}
	items := (o.size - objectHeader - 8) / f.width()
	if items == 0 {
		return fmt.Errorf("the array at %d is empty", next)
	}
	f.chain = cursor{offset: next, first: f.chain.first + f.chain.items, items: items}
	return nil
}

// object is the header of an object.
type object struct {
	flags byte
	size  uint64
}

// object reads the header of the object at offset, which must be of the type, have at least least bytes and lie within the file.
func (f *File) object(offset uint64, kind byte, least uint64) (object, error) {
	if offset%8 != 0 || offset < f.header.size || offset > f.size-min(f.size, objectHeader) {
		return object{}, fmt.Errorf("no object can be at %d", offset)
	}
	var b [objectHeader]byte
	if err := f.pages.read(f, b[:], offset); err != nil {
		return object{}, err
	}
	o := object{flags: b[1], size: binary.LittleEndian.Uint64(b[8:])}
	if b[0] != kind || o.size < least || o.size > f.size-offset {
		return object{}, fmt.Errorf("the object at %d of type %d has %d bytes: expected type %d and at least %d bytes", offset, b[0], o.size, kind, least)
	}
	return o, nil
}
