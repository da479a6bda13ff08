package embedded

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"

	"github.com/minio/highwayhash"
)

// A block of messages of nats-server 2.x is records without anything between them. A record is a head, the subject, if it has headers
// their length and themselves, the payload, and the checksum of all but the lengths.
const (
	recordHead     = 22 // length (4 bytes), sequence (8), time (8), length of the subject (2)
	recordChecksum = 8
	recordHeaders  = 1 << 31 // in the length: the record has headers
	recordErased   = 1 << 63 // in the sequence
	recordDeleted  = 1 << 62 // in the sequence: the record says that the message was deleted
	// searchLimit bounds how many bytes are hashed to find the next record after a damaged one.
	searchLimit = 64 << 20
)

// blockReader verifies the records of a block. The server trusts their lengths and sequences, and asks for any amount of memory if
// those are damaged.
type blockReader struct {
	data     []byte
	hash     hash.Hash
	searched int // bytes that were hashed after damage
}

// newBlockReader returns a reader of the block that a stream numbers index.
func newBlockReader(data []byte, stream, index string) (*blockReader, error) {
	key := sha256.Sum256([]byte(stream + "-" + index))
	h, err := highwayhash.NewDigest64(key[:])
	return &blockReader{data: data, hash: h}, err
}

// blockState is what a block was found to hold.
type blockState struct {
	whole   []byte // the records that are whole
	damaged int    // runs of bytes that are none
	lost    int    // their bytes
	torn    bool   // it only ends within a record, as a write that did not end leaves it; the server cuts that off
}

func (s blockState) String() string {
	return fmt.Sprintf("%d bytes in %d places are damaged", s.lost, s.damaged)
}

// read returns what the block holds.
func (r *blockReader) read() blockState {
	var out blockState
	good := 0 // where the run of whole records began
	for at := 0; at < len(r.data); {
		if n := r.record(at); n > 0 {
			at += n
			continue
		}
		next := r.next(at)
		out.torn = out.damaged == 0 && next == len(r.data) && r.tornAt(at)
		out.damaged++
		out.lost += next - at
		out.whole = append(out.whole, r.data[good:at]...)
		at, good = next, next
	}
	if out.damaged > 0 {
		out.whole = append(out.whole, r.data[good:]...)
	}
	return out
}

// tornAt reports whether the rest from at on is a record that is not there to its end, or zeros.
func (r *blockReader) tornAt(at int) bool {
	rest := r.data[at:]
	if len(rest) < recordHead {
		return true
	}
	length := int(binary.LittleEndian.Uint32(rest) &^ recordHeaders)
	return length > len(rest) || len(bytes.Trim(rest, "\x00")) == 0
}

// next returns where the next whole record after a damaged one at begins, or the end.
func (r *blockReader) next(at int) int {
	for at++; at < len(r.data) && r.searched < searchLimit; at++ {
		length, _ := r.lengths(at)
		if length == 0 {
			continue
		}
		r.searched += length
		if r.record(at) > 0 {
			return at
		}
	}
	return len(r.data)
}

// lengths returns the length of the record at a place and of its subject, 0 if they cannot be right.
func (r *blockReader) lengths(at int) (length, subject int) {
	rest := r.data[at:]
	if len(rest) < recordHead+recordChecksum {
		return 0, 0
	}
	word := binary.LittleEndian.Uint32(rest)
	length, subject = int(word&^recordHeaders), int(binary.LittleEndian.Uint16(rest[20:]))
	least := recordHead + subject + recordChecksum
	if word&recordHeaders != 0 {
		least += 4
	}
	if length < least || length > len(rest) {
		return 0, 0
	}
	return length, subject
}

// record returns the length of the record at a place, 0 if it is damaged.
func (r *blockReader) record(at int) int {
	length, n := r.lengths(at)
	if length == 0 {
		return 0
	}
	record := r.data[at : at+length]
	subject, rest := record[recordHead:recordHead+n], record[recordHead+n:length-recordChecksum]
	if binary.LittleEndian.Uint32(record)&recordHeaders != 0 {
		size := int64(binary.LittleEndian.Uint32(rest))
		rest = rest[4:]
		if size > int64(len(rest)) {
			return 0
		}
	}
	r.hash.Reset()
	for _, part := range [][]byte{record[4:20], subject, rest} {
		_, _ = r.hash.Write(part) // never fails
	}
	if !bytes.Equal(r.hash.Sum(nil), record[length-recordChecksum:]) {
		return 0
	}
	const marks = recordErased | recordDeleted
	if sequence := binary.LittleEndian.Uint64(record[4:]); sequence&marks == 0 && bytes.ContainsFunc(subject, notInSubject) {
		return 0 // its length is not in the checksum
	}
	return length
}

func notInSubject(r rune) bool { return r <= ' ' || r == 0x7f }
