package journal

import (
	"errors"
	"io"
)

const (
	pageSize  = 16 << 10
	pageCount = 512 // 8 MiB

	maxCachedFields = 4096
	maxCachedField  = 1 << 10 // bytes
)

// pages caches pages of all files of a Source, and their fields that many entries share. The files are read with pread: a file that is
// truncated meanwhile gives an error, where memory that maps it would end the process. One goroutine uses it.
type pages struct {
	slots  [pageCount]page
	fields map[fieldKey]Field
	keys   uint64 // given out
}

type page struct {
	file   uint64 // key of the File, 0 for none
	number uint64
	data   []byte
}

type fieldKey struct{ file, offset uint64 }

func newPages() *pages { return &pages{fields: map[fieldKey]Field{}} }

// read fills dst from offset of f. The error is io.ErrUnexpectedEOF if the file is shorter.
func (p *pages) read(f *File, dst []byte, offset uint64) error {
	for len(dst) > 0 {
		data, err := p.page(f, offset/pageSize)
		if err != nil {
			return err
		}
		from := offset % pageSize
		if from >= uint64(len(data)) {
			return io.ErrUnexpectedEOF
		}
		n := copy(dst, data[from:])
		dst, offset = dst[n:], offset+uint64(n)
	}
	return nil
}

// page returns what there is of a page of f. It is valid until the next call.
func (p *pages) page(f *File, number uint64) ([]byte, error) {
	slot := &p.slots[(number+f.key*61)%pageCount]
	if slot.file == f.key && slot.number == number {
		return slot.data, nil
	}
	slot.file = 0
	if slot.data == nil {
		slot.data = make([]byte, pageSize)
	}
	n, err := f.fd.ReadAt(slot.data[:pageSize], int64(number*pageSize))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	slot.file, slot.number, slot.data = f.key, number, slot.data[:n]
	return slot.data, nil
}

// drop forgets the pages of the file with key: its tail has changed.
func (p *pages) drop(key uint64) {
	for i := range p.slots {
		if p.slots[i].file == key {
			p.slots[i].file = 0
		}
	}
}

// keep caches a field that many entries share. The payload of an object never changes.
func (p *pages) keep(key fieldKey, field Field) {
	if len(field.Value) > maxCachedField {
		return
	}
	if len(p.fields) >= maxCachedFields {
		clear(p.fields)
	}
	p.fields[key] = field
}
