package image

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
)

// freeBytes may be unpacked whatever the ratio.
const freeBytes = 16 << 20

// maxWindow is the memory that a zstd stream may demand.
const maxWindow = 64 << 20

// decompress returns the unpacked bytes of a compressed stream, and whether it is one. The close function is to be
// called after the last read.
func decompress(section io.Reader, start []byte) (unpacked io.Reader, closing func(), compressed bool, err error) {
	switch {
	case bytes.HasPrefix(start, []byte{0x1f, 0x8b}):
		r, err := gzip.NewReader(section)
		return r, func() {}, true, err
	case bytes.HasPrefix(start, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		r, err := zstd.NewReader(section, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, true, err
		}
		return r, r.Close, true, nil
	}
	return nil, nil, false, nil
}

// bounded reads an unpacked stream within the limits.
type bounded struct {
	ctx    context.Context //nolint:containedctx // io.Reader has no parameter for it
	from   io.Reader
	packed *counter
	spool  *spool
	read   int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.ctx.Err() != nil {
		return 0, context.Cause(b.ctx)
	}
	n, err := b.from.Read(p)
	b.read += int64(n)
	b.spool.unpacked += int64(n)
	limits := b.spool.limits
	if b.spool.unpacked > limits.UnpackedBytes {
		return n, fmt.Errorf("%w of %d bytes", ErrDecompression, limits.UnpackedBytes)
	}
	if b.read > freeBytes && b.read/limits.Ratio > b.packed.n {
		return n, fmt.Errorf("%w of %d times its size", ErrDecompression, limits.Ratio)
	}
	return n, err
}

// counter counts the bytes that are read through it.
type counter struct {
	io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// spool is the temporary file for files of compressed layers. It has no name once it is open, so that nothing
// is left after a crash.
type spool struct {
	dir      string
	limits   Limits
	file     *os.File
	unpacked int64 // bytes of all compressed streams
	size     int64
}

// store copies the next size bytes of from and returns their offset.
func (s *spool) store(from io.Reader, size int64) (int64, error) {
	if s.size+size > s.limits.StoredBytes {
		return 0, fmt.Errorf("%w of %d bytes to store", ErrDecompression, s.limits.StoredBytes)
	}
	if s.file == nil {
		file, err := os.CreateTemp(s.dir, "ironpost-image-")
		if err != nil {
			return 0, err
		}
		s.file = file
		if err := os.Remove(file.Name()); err != nil {
			return 0, err
		}
	}
	offset := s.size
	n, err := io.CopyN(s.file, from, size)
	s.size += n
	return offset, err
}

func (s *spool) close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

// uncompressed returns the archive, unpacked to the temporary file if it is compressed as a whole.
func (i *Image) uncompressed(ctx context.Context) (source, error) {
	start := make([]byte, 4)
	if _, err := i.archive.ReadAt(start, 0); err != nil {
		return nil, ErrNotAnImage
	}
	packed := &counter{Reader: i.archive}
	unpacked, closing, compressed, err := decompress(packed, start)
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	if !compressed {
		return i.archive, nil
	}
	defer closing()
	from := &bounded{ctx: ctx, from: unpacked, packed: packed, spool: i.spool}
	for {
		_, err := i.spool.store(from, 1<<20)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("archive: %w", err)
		}
	}
	return io.NewSectionReader(i.spool.file, 0, i.spool.size), nil
}
