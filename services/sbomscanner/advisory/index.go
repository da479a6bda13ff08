package advisory

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"sort"
)

// An index file is: magic, records, table of names, table of ids, footer. A record is the CRC-32C of its payload and the payload.
// A table is sorted entries of a hash (8 bytes), the offset of a record (5 bytes) and its length (3 bytes). The footer has where
// the sections are and their checksums. Numbers are little-endian. A file is complete if its footer is.
//
// Only the tables are mapped into memory. A record is read when it is looked up: the kernel maps 64 KiB around each page that is
// touched, so that a thousand lookups in mapped records made most of a large file resident.
const (
	magic         = "IRPADV\x00\x01" // the last byte is the version of the format
	entrySize     = 16
	lengthBits    = 24
	maxRecord     = 1<<lengthBits - 1
	maxOffset     = 1<<(64-lengthBits) - 1
	recordSumSize = 4
	footerSize    = int64(4*8 + 4*4 + len(magic))
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
	reader  io.ReaderAt
	records uint64 // where they end
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

// newIndex reads the footer of an index file, maps the tables by table, which gets where they are in the file, and checks them. The
// checksum of a record is checked when it is read.
func newIndex(file io.ReaderAt, size int64, table func(from, length int64) ([]byte, error)) (*index, error) {
	f, err := readFooter(file, size)
	if err != nil {
		return nil, err
	}
	tables, err := table(int64(f.Records), int64(f.IDs-f.Records))
	if err != nil {
		return nil, err
	}
	x := &index{reader: file, records: f.Records, count: int(f.Count)}
	x.names, x.ids = tables[:f.Names-f.Records], tables[f.Names-f.Records:]
	if checksum(x.names) != f.NamesSum || checksum(x.ids) != f.IDsSum {
		return nil, errors.New("a table does not have its checksum")
	}
	return x, nil
}

func readFooter(file io.ReaderAt, size int64) (footer, error) {
	var f footer
	start, b := make([]byte, len(magic)), make([]byte, footerSize)
	if size < int64(len(magic))+footerSize {
		return f, errors.New("it is too short")
	}
	if _, err := file.ReadAt(start, 0); err != nil {
		return f, err
	}
	if string(start) != magic {
		return f, errors.New("it is not an index of this version")
	}
	if _, err := file.ReadAt(b, size-footerSize); err != nil {
		return f, err
	}
	if string(b[int(footerSize)-len(magic):]) != magic {
		return f, errors.New("its end is missing")
	}
	body := b[:binary.Size(f)]
	if checksum(body) != binary.LittleEndian.Uint32(b[len(body):]) {
		return f, errors.New("its footer does not have its checksum")
	}
	if _, err := binary.Decode(body, binary.LittleEndian, &f); err != nil {
		return f, err
	}
	return f, f.check(uint64(size - footerSize))
}

func (f footer) check(end uint64) error {
	ordered := uint64(len(magic)) <= f.Records && f.Records <= f.Names && f.Names <= f.IDs && f.IDs == end
	if !ordered || (f.Names-f.Records)%entrySize != 0 || (f.IDs-f.Names)%entrySize != 0 || f.Count > f.Records/recordSumSize {
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
	var buffer []byte
	for i := sort.Search(n, func(i int) bool { return entryAt(table, i).hash >= hash }); i < n; i++ {
		e := entryAt(table, i)
		if e.hash != hash {
			return nil
		}
		payload, err := x.record(e, &buffer)
		if err != nil {
			return err
		}
		if err := fn(payload); err != nil {
			return err
		}
	}
	return nil
}

// record reads a record into buffer, which grows if need be, and returns the payload in it.
func (x *index) record(e entry, buffer *[]byte) ([]byte, error) {
	if e.offset() > x.records || e.length() > x.records-e.offset() || e.length() < recordSumSize {
		return nil, errors.New("a table points outside the records")
	}
	record := slices.Grow((*buffer)[:0], int(e.length()))[:e.length()]
	*buffer = record
	if _, err := x.reader.ReadAt(record, int64(e.offset())); err != nil {
		return nil, err
	}
	payload := record[recordSumSize:]
	if checksum(payload) != binary.LittleEndian.Uint32(record) {
		return nil, errors.New("a record does not have its checksum")
	}
	return payload, nil
}

// entry is one entry of a table. Its place has the record's offset in the upper 40 bits and its length in the lower 24.
type entry struct{ hash, place uint64 }

func (e entry) offset() uint64 { return e.place >> lengthBits }
func (e entry) length() uint64 { return e.place & maxRecord }

func entryAt(table []byte, i int) entry {
	b := table[i*entrySize:]
	return entry{hash: binary.LittleEndian.Uint64(b), place: binary.LittleEndian.Uint64(b[8:])}
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
