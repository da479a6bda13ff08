package journal

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// FuzzFile: no content of a file makes the reader panic, read without end or return more than its limits allow.
func FuzzFile(f *testing.F) {
	plain := []byte("MESSAGE=abcd abcd abcd abcd abcd abcd")
	lz4 := append(binary.LittleEndian.AppendUint64(nil, 37), append(append([]byte{13<<4 | 6}, plain[:13]...), append([]byte{5, 0, 10 << 4}, plain[27:]...)...)...)
	zstd := []byte("\x28\xb5\x2f\xfd\x20\x0b\x59\x00\x00MESSAGE=hey")
	xz := []byte("\xfd7zXZ\x00\x00\x00\xff\x12\xd9\x41\x02\x00\x21\x01\x0c\x00\x00\x00\x8f\x98\x41\x9c\x01\x00\x01A=\x00\x00")
	for _, compact := range []bool{false, true} {
		f.Add(tinyFile(compact, 0, plain))
		f.Add(tinyFile(compact, flagObjectLZ4, lz4))
		f.Add(tinyFile(compact, flagObjectZSTD, zstd))
		f.Add(tinyFile(compact, flagObjectXZ, xz))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "a.journal")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := newPages().open(path)
		if err != nil {
			return
		}
		defer file.close()
		file.limits = Limits{MaxField: 1 << 12, MaxEntry: 1 << 15}
		file.firstSince(1 << 50)
		var c counts
		for i := range min(file.entries, 1<<12) {
			r, err := file.entry(i, &c)
			if err != nil {
				continue
			}
			size := 0
			for _, field := range r.Fields {
				size += len(field.Value)
				if len(field.Value) > 1<<12 {
					t.Fatalf("value of %d bytes", len(field.Value))
				}
			}
			if limit := 1<<15 + 1<<12 + len(r.Fields)*leastField; size > limit {
				t.Fatalf("entry of %d bytes", size)
			}
		}
	})
}

// The seed of the fuzzer is a file with one entry, in each variant that needs no library.
func TestTinyFileIsRead(t *testing.T) {
	t.Parallel()
	for _, compact := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "a.journal")
		if err := os.WriteFile(path, tinyFile(compact, 0, []byte("A=b")), 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := newPages().open(path)
		if err != nil {
			t.Fatal(err)
		}
		file.limits = Limits{MaxField: 10, MaxEntry: 10}
		r, err := file.entry(0, &counts{})
		if err != nil || len(r.Fields) != 1 || r.Fields[0] != (Field{"A", "b"}) || r.Seqnum != 1 {
			t.Errorf("compact %v: %+v, %v", compact, r, err)
		}
		file.close()
	}
}

// tinyFile returns a journal of one entry with one field, whose payload is compressed as flags say.
func tinyFile(compact bool, flags byte, payload []byte) []byte {
	const arrayAt, entryAt, dataAt = 208, 240, 320
	put := binary.LittleEndian.PutUint64
	b := make([]byte, dataAt+72+len(payload))
	copy(b, "LPKSHHRH")
	b[12] = 1 | 2 | 8
	start, width := 64, 8
	if compact {
		b[12] |= flagCompact
		start, width = 72, 4
	}
	b[24] = 1 // file id
	put(b[88:], headerSize)
	put(b[152:], 1)
	put(b[176:], arrayAt)
	object := func(at int, kind, flags byte, size int) {
		b[at], b[at+1] = kind, flags
		put(b[at+8:], uint64(size))
	}
	object(arrayAt, typeEntryArray, 0, 24+width)
	put(b[arrayAt+24:], entryAt)
	step := 16
	if compact {
		step = 4
	}
	object(entryAt, typeEntry, 0, minEntry+step)
	put(b[entryAt+16:], 1)
	put(b[entryAt+minEntry:], dataAt)
	object(dataAt, typeData, flags, start+len(payload))
	copy(b[dataAt+start:], payload)
	return b
}
