package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// File is an open journal file. One goroutine uses it.
type File struct {
	path   string
	fd     *os.File
	key    uint64 // of its pages
	size   uint64
	pages  *pages
	unpack *unpacker
	limits Limits
	header
	chain cursor
	items []byte // of the entry being read
}

// Limits bound what is kept of an entry, in bytes: MaxField of a field's value, and MaxEntry of all, beyond which of each further field
// only its beginning is kept.
type Limits struct{ MaxField, MaxEntry int }

// open opens the file without following a link. What is kept of its entries is bounded by f.limits, which is zero at first.
func (p *pages) open(path string) (*File, error) {
	file, err := openNoFollow(path)
	if err != nil {
		return nil, err
	}
	p.keys++
	f := &File{path: path, fd: file, key: p.keys, pages: p, unpack: &unpacker{}}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("is no regular file")
	}
	if err == nil {
		_, err = f.refresh()
	}
	if err != nil {
		_ = file.Close() // only read
		return nil, fmt.Errorf("journal %s: %w", path, err)
	}
	return f, nil
}

func (f *File) close() {
	f.pages.drop(f.key)
	f.unpack.close()
	_ = f.fd.Close() // only read
}

// refresh reads the header again, and reports whether there are more entries. Entries are complete when the header counts them: journald
// writes the count last.
func (f *File) refresh() (grown bool, err error) {
	var b [headerSize]byte
	if _, err := f.fd.ReadAt(b[:], 0); err != nil {
		if errors.Is(err, io.EOF) {
			return false, errNoJournal
		}
		return false, err
	}
	info, err := f.fd.Stat()
	if err != nil {
		return false, err
	}
	h, err := parseHeader(b[:], uint64(info.Size()))
	if err != nil {
		return false, err
	}
	if f.header.file != (ID{}) && h.file != f.header.file {
		return false, errors.New("was overwritten by another file")
	}
	grown = h.entries > f.entries
	if grown {
		f.pages.drop(f.key)
	}
	f.header, f.size = h, uint64(info.Size())
	return grown, nil
}
