package tail

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

var errXz = errors.New("no valid xz file")

// xzReader reads an xz file (The .xz File Format 1.2), whose only filter must be LZMA2. The container is read here and not by package xz, which makes
// a dictionary as large as a block header asks for: up to 4 GiB.
type xzReader struct {
	in    *bufio.Reader
	count *byteCounter
	check byte      // type, of the stream
	block io.Reader // nil between blocks
	sum   hash.Hash // of the block; nil if it is not checked
	begun int64     // where the block began
	began bool      // a stream
}

// byteCounter counts the bytes read through it. It reads byte by byte for the range decoder, too.
type byteCounter struct {
	*bufio.Reader

	n int64
}

func (c *byteCounter) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n += int64(n)
	return n, err
}

func (c *byteCounter) ReadByte() (byte, error) {
	b, err := c.Reader.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

// NewXzReader returns what the xz file r holds, decompressed. Its memory is bounded by maxWindow, whatever the file says.
func NewXzReader(r io.Reader) io.Reader { return newXzReader(r) }

func newXzReader(r io.Reader) *xzReader {
	in := bufio.NewReader(r)
	return &xzReader{in: in, count: &byteCounter{Reader: in}}
}

func (x *xzReader) Read(b []byte) (int, error) {
	for {
		if x.block == nil {
			if err := x.next(); err != nil {
				return 0, err
			}
			continue
		}
		n, err := x.block.Read(b)
		if x.sum != nil {
			x.sum.Write(b[:n])
		}
		if errors.Is(err, io.EOF) {
			err = x.endBlock()
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// next begins the next stream or block, or ends the stream. The error is io.EOF at the end of the last one.
func (x *xzReader) next() error {
	if !x.began {
		return x.beginStream()
	}
	x.begun = x.count.n
	size, err := x.count.ReadByte()
	if err != nil {
		return unexpected(err)
	}
	if size == 0 {
		return x.skipIndex()
	}
	return x.beginBlock(size)
}

// beginStream reads a stream header (2.1.1), after padding of zeros (2.2).
func (x *xzReader) beginStream() error {
	var header [12]byte
	for {
		_, err := io.ReadFull(x.count, header[:4])
		if err != nil {
			if errors.Is(err, io.EOF) && x.count.n > 0 {
				return io.EOF
			}
			return unexpected(err)
		}
		if x.count.n == 4 || [4]byte(header[:4]) != [4]byte{} {
			break
		}
	}
	if _, err := io.ReadFull(x.count, header[4:]); err != nil {
		return unexpected(err)
	}
	if string(header[:6]) != "\xfd7zXZ\x00" || header[6] != 0 || crc32.ChecksumIEEE(header[6:8]) != binary.LittleEndian.Uint32(header[8:]) {
		return errXz
	}
	x.check, x.began = header[7], true
	return nil
}

// beginBlock reads a block header (3.1) after its first byte.
func (x *xzReader) beginBlock(size byte) error {
	header := make([]byte, (int(size)+1)*4)
	header[0] = size
	if _, err := io.ReadFull(x.count, header[1:]); err != nil {
		return unexpected(err)
	}
	body := header[:len(header)-4]
	if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(header[len(body):]) {
		return errXz
	}
	flags, rest := body[1], bytes.NewReader(body[2:])
	if flags&0x3f != 0 {
		return fmt.Errorf("%w: filters beside LZMA2 are not supported", errXz)
	}
	for _, bit := range []byte{0x40, 0x80} { // sizes, which are not trusted
		if flags&bit != 0 {
			if _, err := binary.ReadUvarint(rest); err != nil {
				return errXz
			}
		}
	}
	var filter [3]byte // LZMA2, one byte of properties, the size of the dictionary (5.3.1)
	if _, err := io.ReadFull(rest, filter[:]); err != nil || filter[0] != 0x21 || filter[1] != 1 {
		return errXz
	}
	dictionary, err := lzma.DecodeDictCap(filter[2])
	if err != nil || dictionary > maxWindow {
		return fmt.Errorf("%w: it needs a dictionary of %d bytes", errTooLarge, dictionary)
	}
	block, err := lzma.Reader2Config{DictCap: max(int(dictionary), lzma.MinDictCap)}.NewReader2(x.count)
	if err != nil {
		return err
	}
	x.block, x.sum = block, newXzCheck(x.check)
	return nil
}

// endBlock reads padding and check of a block (3.3, 3.4).
func (x *xzReader) endBlock() error {
	x.block = nil
	padding := (4 - (x.count.n-x.begun)%4) % 4
	sizes := [16]int64{0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64} // 2.1.1.2
	want := make([]byte, padding+sizes[x.check&15])
	if _, err := io.ReadFull(x.count, want); err != nil {
		return unexpected(err)
	}
	if x.sum == nil {
		return nil
	}
	got := x.sum.Sum(nil)
	if x.check != xzSHA256 { // those are little endian
		for i, j := 0, len(got)-1; i < j; i, j = i+1, j-1 {
			got[i], got[j] = got[j], got[i]
		}
	}
	if !bytes.Equal(got, want[padding:]) {
		return fmt.Errorf("%w: a checksum is wrong", errXz)
	}
	return nil
}

const xzSHA256 = 10

func newXzCheck(kind byte) hash.Hash {
	switch kind {
	case 1:
		return crc32.NewIEEE()
	case 4:
		return crc64.New(crc64.MakeTable(crc64.ECMA))
	case xzSHA256:
		return sha256.New()
	}
	return nil
}

// skipIndex reads the index (4) after its first byte, and the footer of the stream (2.1.2). Neither is needed.
func (x *xzReader) skipIndex() error {
	records, err := binary.ReadUvarint(x.count)
	if err != nil {
		return unexpected(err)
	}
	for range records {
		for range 2 {
			if _, err := binary.ReadUvarint(x.count); err != nil {
				return unexpected(err)
			}
		}
	}
	padding := (4 - (x.count.n-x.begun)%4) % 4
	const sumAndFooter = 4 + 12
	if _, err := x.count.skip(padding + sumAndFooter); err != nil {
		return unexpected(err)
	}
	x.began = false
	return nil
}

func (c *byteCounter) skip(n int64) (int64, error) { return io.CopyN(io.Discard, c, n) }

// unexpected returns err, or io.ErrUnexpectedEOF for io.EOF.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
