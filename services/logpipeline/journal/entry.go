package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	maxFields    = 4096 // of an entry; journald allows 1024
	maxFieldName = 256  // bytes; journald allows 64
	leastField   = 256  // bytes of a value that are kept although the entry is too long
)

// Field is one field of an entry. The value may hold any byte.
type Field struct{ Name, Value string }

// Record is an entry as it is in the file. Realtime is when journald received it, in microseconds since 1970, Monotonic in
// microseconds since the start of the machine, which Boot identifies.
type Record struct {
	Seqnum, Realtime, Monotonic uint64
	Boot                        ID
	// Fields are in the order of the file. A name may occur more than once.
	Fields []Field
	// Cut says that the entry has more than Fields: a value was too long, or could not be read.
	Cut bool
}

// counts are of what could not be read.
type counts struct {
	Bad     uint64 // entries skipped because they are damaged
	Fields  uint64 // fields left out because they are damaged
	Refused uint64 // fields of which only a part was decompressed, or nothing
}

// entry reads entry i.
func (f *File) entry(i uint64, c *counts) (Record, error) {
	r, offset, size, err := f.head(i)
	if err != nil {
		return Record{}, err
	}
	err = f.fieldsOf(&r, offset+minEntry, size-minEntry, c)
	return r, err
}

// head reads entry i without its fields, and returns the offset and the size of its object.
func (f *File) head(i uint64) (r Record, offset, size uint64, err error) {
	offset, err = f.entryOffset(i)
	if err != nil {
		return Record{}, 0, 0, err
	}
	o, err := f.object(offset, typeEntry, minEntry)
	if err != nil {
		return Record{}, 0, 0, err
	}
	var b [minEntry]byte
	if err := f.pages.read(f, b[:], offset); err != nil {
		return Record{}, 0, 0, err
	}
	r = Record{Seqnum: binary.LittleEndian.Uint64(b[16:]), Realtime: binary.LittleEndian.Uint64(b[24:]), Monotonic: binary.LittleEndian.Uint64(b[32:])}
	copy(r.Boot[:], b[40:])
	return r, offset, o.size, nil
}

// fieldsOf reads the fields of r, whose offsets are in the size bytes at offset.
func (f *File) fieldsOf(r *Record, offset, size uint64, c *counts) error {
	step := f.width() // a compact item is an offset, another one an offset and a hash
	if step == 8 {
		step = 16
	}
	n := size / step
	r.Cut = n > maxFields
	n = min(n, maxFields)
	if uint64(cap(f.items)) < n*step {
		f.items = make([]byte, n*step)
	}
	items := f.items[:n*step]
	if err := f.pages.read(f, items, offset); err != nil {
		return err
	}
	r.Fields = make([]Field, 0, n)
	left := f.limits.MaxEntry
	for ; len(items) > 0; items = items[step:] {
		field, cut, err := f.field(offsetIn(items, f.width()), min(f.limits.MaxField, max(left, leastField)))
		switch {
		case errors.Is(err, errRefused):
			c.Refused++
			r.Cut = true
			continue
		case err != nil:
			c.Fields++
			r.Cut = true
			continue
		case cut == cutUnpacked:
			c.Refused++
			r.Cut = true
		case cut != whole:
			r.Cut = true
		}
		left -= len(field.Value)
		r.Fields = append(r.Fields, field)
	}
	return nil
}

// how much of a field was read
type extent int

const (
	whole extent = iota
	cutPlain
	cutUnpacked // its decompression was ended
)

// field reads the data object at offset, of its value at most limit bytes.
func (f *File) field(offset uint64, limit int) (Field, extent, error) {
	key := fieldKey{f.key, offset}
	if got, ok := f.pages.fields[key]; ok && len(got.Value) <= limit {
		return got, whole, nil
	}
	start := uint64(64)
	if f.incompatible&flagCompact != 0 {
		start = 72
	}
	o, err := f.object(offset, typeData, start)
	if err != nil {
		return Field{}, whole, err
	}
	text, cut, err := f.payload(offset+start, o.size-start, o.flags, limit+maxFieldName)
	if err != nil {
		return Field{}, whole, err
	}
	end := bytes.IndexByte(text[:min(len(text), maxFieldName)], '=')
	if end < 1 {
		return Field{}, whole, fmt.Errorf("the data at %d has no name", offset)
	}
	if value := text[end+1:]; len(value) > limit {
		text = text[:end+1+limit]
		if cut == whole {
			cut = cutPlain
		}
	}
	got := Field{Name: string(text[:end]), Value: string(text[end+1:])}
	if cut == whole && f.isShared(offset) {
		f.pages.keep(key, got)
	}
	return got, cut, nil
}

// isShared reports whether more than one entry has the data at offset.
func (f *File) isShared(offset uint64) bool {
	var b [8]byte
	return f.pages.read(f, b[:], offset+56) == nil && binary.LittleEndian.Uint64(b[:]) > 1
}

// payload reads the size bytes at offset and decompresses them by flags, at most limit bytes of the result. What it returns is valid until
// the next call.
func (f *File) payload(offset, size uint64, flags byte, limit int) ([]byte, extent, error) {
	if flags&(flagObjectXZ|flagObjectLZ4|flagObjectZSTD) != 0 {
		return f.unpack.unpack(io.NewSectionReader(f.fd, int64(offset), int64(size)), flags, limit)
	}
	n := min(size, uint64(limit))
	b := make([]byte, n)
	cut := whole
	if n < size {
		cut = cutPlain
	}
	if n > 4*pageSize { // it would displace what is used again
		_, err := f.fd.ReadAt(b, int64(offset))
		return b, cut, err
	}
	return b, cut, f.pages.read(f, b, offset)
}
