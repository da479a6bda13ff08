package advisory

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sort"
)

// An index file is: magic, records, table of names, table of ids, footer. A record is the length of its payload, the CRC-32C of
// the payload, and the payload. A table is sorted entries of a hash and the offset of a record, eight bytes each. The
// footer has where the sections are and their checksums. Numbers are little-endian. A file is complete if its footer is.
const (
	magic        = "IRPADV\x00\x01" // the last byte is the version of the format
	entrySize    = 16
	recordHeader = 8
	footerSize   = 4*8 + 4*4 + len(magic)
)

// CorruptError says that a file of the database is damaged. The file is named; nothing in it was used.
type CorruptError struct {
	File string
	Err  error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s is damaged: %v: run `ironpost vulndb rollback`, or import the database again", e.File, e.Err)
}

func (e *CorruptError) Unwrap() error { return e.Err }

// index reads one index file. It may be used concurrently.
type index struct {
	data    []byte // the whole file
	records []byte // with the magic in front, so that an offset in the file is one in records
	names   []byte
	ids     []byte
	count   int
}

// footer is the end of an index file.
type footer struct {
	Records, Names, IDs uint64 // where each section ends
	Count               uint64 // records
	NamesSum, IDsSum    uint32
	Reserved            uint32
}

// newIndex checks the footer and the tables of data, a whole index file; the checksum of a record is checked when it is read.
func newIndex(data []byte) (*index, error) {
	f, err := readFooter(data)
	if err != nil {
		return nil, err
	}
	x := &index{
		data: data, records: data[:f.Records], names: data[f.Records:f.Names], ids: data[f.Names:f.IDs], count: int(f.Count),
	}
	if checksum(x.names) != f.NamesSum || checksum(x.ids) != f.IDsSum {
		return nil, errors.New("a table does not have its checksum")
	}
	return x, nil
}

func readFooter(data []byte) (footer, error) {
	var f footer
	if len(data) < len(magic)+footerSize || string(data[:len(magic)]) != magic {
		return f, errors.New("it is not an index of this version")
	}
	end := uint64(len(data) - footerSize)
	b := data[end:]
	if string(b[footerSize-len(magic):]) != magic {
		return f, errors.New("its end is missing")
	}
	sum := binary.LittleEndian.Uint32(b[44:])
	if checksum(b[:44]) != sum {
		return f, errors.New("its footer does not have its checksum")
	}
	if _, err := binary.Decode(b, binary.LittleEndian, &f); err != nil {
		return f, err
	}
	return f, f.check(end)
}

func (f footer) check(end uint64) error {
	ordered := uint64(len(magic)) <= f.Records && f.Records <= f.Names && f.Names <= f.IDs && f.IDs == end
	if !ordered || (f.Names-f.Records)%entrySize != 0 || (f.IDs-f.Names)%entrySize != 0 || f.Count > f.Records/recordHeader {
		return errors.New("its sections do not fit its size")
	}
	return nil
}

// byName calls fn with the payload of each record whose name has the hash of name, until fn returns an error.
func (x *index) byName(name string, fn func([]byte) error) error { return x.each(x.names, name, fn) }

// byID does the same for an id or alias.
func (x *index) byID(id string, fn func([]byte) error) error { return x.each(x.ids, id, fn) }

func (x *index) each(table []byte, key string, fn func([]byte) error) error {
	hash := hashKey(key)
	n := len(table) / entrySize
	for i := sort.Search(n, func(i int) bool { return entryAt(table, i).hash >= hash }); i < n; i++ {
		e := entryAt(table, i)
		if e.hash != hash {
			return nil
		}
		payload, err := x.record(e.offset)
		if err != nil {
			return err
		}
		if err := fn(payload); err != nil {
			return err
		}
	}
	return nil
}

func (x *index) record(offset uint64) ([]byte, error) {
	if offset < uint64(len(magic)) || offset > uint64(len(x.records)) || uint64(len(x.records))-offset < recordHeader {
		return nil, errors.New("a table points outside the records")
	}
	b := x.records[offset:]
	size, sum := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
	b = b[recordHeader:]
	if uint64(size) > uint64(len(b)) {
		return nil, errors.New("a record is longer than the file")
	}
	if b = b[:size]; checksum(b) != sum {
		return nil, errors.New("a record does not have its checksum")
	}
	return b, nil
}

type entry struct{ hash, offset uint64 }

func entryAt(table []byte, i int) entry {
	b := table[i*entrySize:]
	return entry{hash: binary.LittleEndian.Uint64(b), offset: binary.LittleEndian.Uint64(b[8:])}
}

// hashKey is FNV-1a of 64 bits. Records with the same hash are told apart by the names in them.
func hashKey(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// checksum is CRC-32C, for which processors have an instruction.
func checksum(b []byte) uint32 { return addChecksum(0, b) }

func addChecksum(sum uint32, b []byte) uint32 {
	return crc32.Update(sum, crc32.MakeTable(crc32.Castagnoli), b)
}
