package advisory

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
)

// maxEntries bounds the tables of one index: 32 MiB of memory each while it is built.
const maxEntries = 2 << 20

var errTooManyNames = fmt.Errorf("it has more than %d names or ids", maxEntries)

// builder writes an index file from front to back. It keeps the tables in memory, not the records.
type builder struct {
	file   *os.File
	out    *bufio.Writer
	sum    hash.Hash
	size   uint64
	names  []entry
	ids    []entry
	count  int
	buffer []byte
}

// newBuilder starts an index in file, which is empty. The caller closes file.
func newBuilder(file *os.File) (*builder, error) {
	b := &builder{file: file, sum: sha256.New()}
	b.out = bufio.NewWriterSize(io.MultiWriter(file, b.sum), 256<<10)
	return b, b.write([]byte(magic))
}

// add writes a record that is found by names and ids.
func (b *builder) add(payload []byte, names, ids []string) error {
	if len(b.names)+len(names) > maxEntries || len(b.ids)+len(ids) > maxEntries {
		return errTooManyNames
	}
	length := uint64(len(payload) + recordSumSize)
	if length > maxRecord {
		return refuse(refusedSize, "it takes %d bytes in the index: at most %d are allowed", length, maxRecord)
	}
	if b.size > maxOffset {
		return errors.New("the index is too large")
	}
	place := b.size<<lengthBits | length
	b.names = appendEntries(b.names, names, place)
	b.ids = appendEntries(b.ids, ids, place)
	b.count++
	b.buffer = binary.LittleEndian.AppendUint32(b.buffer[:0], checksum(payload))
	return errors.Join(b.write(b.buffer), b.write(payload))
}

// appendEntries adds one entry for each key; a record that names a package twice has one.
func appendEntries(table []entry, keys []string, place uint64) []entry {
	start := len(table)
	for _, key := range keys {
		table = append(table, entry{hash: hashKey(key), place: place})
	}
	added := table[start:]
	slices.SortFunc(added, compareEntries)
	return table[:start+len(slices.Compact(added))]
}

func compareEntries(a, b entry) int {
	return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.place, b.place))
}

// finish writes the tables and the footer, syncs the file and returns its SHA-256 and size.
func (b *builder) finish() (sum string, size int64, err error) {
	f := footer{Records: b.size, Count: uint64(b.count)}
	if f.NamesSum, err = b.table(b.names); err != nil {
		return "", 0, err
	}
	f.Names = b.size
	if f.IDsSum, err = b.table(b.ids); err != nil {
		return "", 0, err
	}
	f.IDs = b.size
	end, err := binary.Append(nil, binary.LittleEndian, f)
	if err != nil {
		return "", 0, err
	}
	end = binary.LittleEndian.AppendUint32(end, checksum(end))
	if err := b.write(append(end, magic...)); err != nil {
		return "", 0, err
	}
	if err := cmp.Or(b.out.Flush(), b.file.Sync()); err != nil {
		return "", 0, err
	}
	return hex.EncodeToString(b.sum.Sum(nil)), int64(b.size), nil
}

func (b *builder) table(entries []entry) (uint32, error) {
	slices.SortFunc(entries, compareEntries)
	sum := uint32(0)
	var raw [entrySize]byte
	for _, e := range entries {
		binary.LittleEndian.PutUint64(raw[:], e.hash)
		binary.LittleEndian.PutUint64(raw[8:], e.place)
		sum = addChecksum(sum, raw[:])
		if err := b.write(raw[:]); err != nil {
			return 0, err
		}
	}
	return sum, nil
}

func (b *builder) write(p []byte) error {
	n, err := b.out.Write(p)
	b.size += uint64(n)
	return err
}

// indexName is the name of an index file, after its content.
func indexName(base, sum string) string { return fmt.Sprintf("%s-%s.index", base, sum[:16]) }
