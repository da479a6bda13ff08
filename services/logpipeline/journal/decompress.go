package journal

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// Flags of a data object.
const (
	flagObjectXZ = 1 << iota
	flagObjectLZ4
	flagObjectZSTD
)

const (
	maxWindow = 16 << 20 // of zstd; journald uses at most 2 MiB
	maxXZDict = 16 << 20 // journald uses 1 MiB
)

// errRefused means that data was not decompressed because that could need too much memory.
var errRefused = errors.New("not decompressed")

// unpacker decompresses data objects. The zero value is ready; one goroutine uses it.
type unpacker struct{ zstd *zstd.Decoder }

func (u *unpacker) close() {
	if u.zstd != nil {
		u.zstd.Close()
	}
}

// unpack decompresses src by the flags of its object, at most limit bytes of the result: it stops there.
func (u *unpacker) unpack(src *io.SectionReader, flags byte, limit int) ([]byte, extent, error) {
	switch flags & (flagObjectXZ | flagObjectLZ4 | flagObjectZSTD) {
	case flagObjectZSTD:
		return u.unpackZSTD(src, limit)
	case flagObjectLZ4:
		return unpackLZ4(src, limit)
	case flagObjectXZ:
		return unpackXZ(src, limit)
	}
	return nil, whole, fmt.Errorf("data with compression flags %#x", flags)
}

func (u *unpacker) unpackZSTD(src *io.SectionReader, limit int) ([]byte, extent, error) {
	if u.zstd == nil {
		var err error
		u.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, whole, err
		}
	}
	if err := u.zstd.Reset(src); err != nil {
		return nil, whole, refusal(err)
	}
	out, cut, err := readUpTo(u.zstd, limit)
	return out, cut, refusal(err)
}

func refusal(err error) error {
	if errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	return err
}

// unpackXZ decompresses one xz stream. Its dictionary is allocated as large as the header of its block says, so that is read first (The .xz
// file format, sections 2.1.1, 3.1 and 5.3.1).
func unpackXZ(src *io.SectionReader, limit int) ([]byte, extent, error) {
	var b [12 + 64]byte
	n, err := src.ReadAt(b[:], 0)
	if err != nil && !errors.Is(err, io.EOF) || n < 12+8 {
		return nil, whole, errors.New("xz data too short")
	}
	at := 12 + 2 // after the stream header, and of the block header its size and flags
	for _, sized := range []byte{0x40, 0x80} {
		for b[13]&sized != 0 && at < n-3 {
			at++
			if b[at-1]&0x80 == 0 {
				break
			}
		}
	}
	if b[13]&3 != 0 || at+3 > n || b[at] != 0x21 || b[at+1] != 1 {
		return nil, whole, errors.New("xz data with other filters than LZMA2")
	}
	if bits := int(b[at+2]); bits > 40 || (2|bits&1)<<(bits/2+11) > maxXZDict {
		return nil, whole, fmt.Errorf("%w: xz dictionary larger than %d bytes", errRefused, maxXZDict)
	}
	r, err := xz.ReaderConfig{SingleStream: true, DictCap: 1 << 12}.NewReader(bufio.NewReader(src))
	if err != nil {
		return nil, whole, err
	}
	return readUpTo(r, limit)
}

// unpackLZ4 decompresses an LZ4 block, before which is the size of the result in 8 bytes.
func unpackLZ4(src *io.SectionReader, limit int) ([]byte, extent, error) {
	// No part of a block makes less than a quarter of its length.
	b := make([]byte, min(src.Size(), int64(8+4*limit+64)))
	if _, err := src.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, whole, err
	}
	if len(b) < 8 {
		return nil, whole, errors.New("lz4 data too short")
	}
	size := binary.LittleEndian.Uint64(b)
	out, err := lz4Block(make([]byte, 0, min(size, uint64(limit), uint64(len(b))*255)), b[8:], int(min(size, uint64(limit))))
	if err != nil || uint64(len(out)) == size {
		return out, whole, err
	}
	return out, cutUnpacked, nil
}

// readUpTo reads at most limit bytes of r.
func readUpTo(r io.Reader, limit int) ([]byte, extent, error) {
	out, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return nil, whole, err
	}
	if len(out) > limit {
		return out[:limit], cutUnpacked, nil
	}
	return out, whole, nil
}
