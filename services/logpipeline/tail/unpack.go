package tail

import (
	"bufio"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	// maxUnpacked limits the bytes skipped in one compressed file, and maxScratch those
	// kept on disk.
	maxUnpacked = 8 << 30
	maxScratch  = 2 << 30
	// maxRatio limits the bytes unpacked, after the first freeUnpacked, for each packed one. Text with its times is packed a hundred times at most.
	maxRatio     = 2000
	freeUnpacked = 64 << 20
	// unpackStep is how much is unpacked before other files are read, and maxPackedPerStep how much may be read for that.
	unpackStep       = 1 << 20
	maxPackedPerStep = 8 << 20
	// maxWindow limits the memory that a compressed file asks for: xz -9 needs that much.
	maxWindow = 64 << 20
)

var (
	errTooLarge     = errors.New("too large to unpack")
	errHollow       = errors.New("holds next to nothing in many bytes")
	errUnsupported  = errors.New("compressed in a way that is not supported")
	errOtherContent = errors.New("begins with another content")
)

// unpacker unpacks a compressed file, a step at a time, into a file that has no
// name any more. Of the bytes before a place only those under fingerprints are kept. It trusts no size that the file names.
type unpacker struct {
	sibling // the packed file
	packed  *os.File
	input   *meter
	content io.Reader
	release func()   // of the memory of content
	out     *os.File // has each byte at its offset in the content
	offset  int64    // bytes unpacked
	keep    int64    // offset from which on they are written to out
}

// meter is a reader of at most left bytes; more is errHollow.
type meter struct {
	r    io.Reader
	left int64
}

func (m *meter) Read(b []byte) (int, error) {
	if m.left <= 0 {
		return 0, errHollow
	}
	n, err := m.r.Read(b[:min(int64(len(b)), m.left)])
	m.left -= int64(n)
	return n, err
}

// newUnpacker opens the packed file at path and a file in dir. The error is errOtherContent
// if the content does not begin as st does; after an error everything is closed.
func newUnpacker(dir, path string, st *FileState) (u *unpacker, err error) {
	u = &unpacker{sibling: sibling{path: path}, release: func() {}}
	if st.Offset > 0 {
		u.keep = min(max(fingerprintLen, st.Offset-fingerprintLen), maxUnpacked)
	}
	defer func() {
		if err != nil {
			u.close()
			err = fmt.Errorf("unpack %s: %w", path, err)
		}
	}()
	if u.packed, u.fileInfo, err = openRegular(path); err != nil {
		return u, err
	}
	u.input = &meter{u.packed, maxPackedPerStep}
	if err = u.openContent(sniff(u.packed)); err != nil {
		return u, err
	}
	if u.out, err = os.CreateTemp(dir, "unpacked-*"); err != nil {
		return u, err
	}
	if err = os.Remove(u.out.Name()); err != nil {
		return u, err
	}
	if u.offset, err = io.CopyN(u.out, u.content, fingerprintLen); err != nil && !errors.Is(err, io.EOF) {
		return u, err
	}
	if !st.Head.matches(u.out, 0) {
		return u, errOtherContent
	}
	return u, nil
}

// openContent begins to unpack a file of this kind.
func (u *unpacker) openContent(kind string) (err error) {
	in := bufio.NewReader(u.input)
	switch kind {
	case kindGzip:
		u.content, err = gzip.NewReader(in)
	case kindXz:
		u.content = newXzReader(in)
	case kindBzip2:
		u.content = bzip2.NewReader(in)
	case kindZstd:
		var d *zstd.Decoder
		d, err = zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err == nil {
			u.content, u.release = d, d.Close
		}
	default:
		err = errUnsupported
	}
	return err
}

// step unpacks unpackStep bytes and reports whether they were the last.
func (u *unpacker) step() (done bool, err error) {
	u.input.left = maxPackedPerStep
	to, limit := io.Discard, min(unpackStep, u.keep-u.offset)
	if limit <= 0 {
		to, limit = io.NewOffsetWriter(u.out, u.offset), unpackStep
	}
	n, err := io.CopyN(to, u.content, limit)
	u.offset += n
	switch {
	case errors.Is(err, io.EOF):
		return true, nil
	case err == nil && (u.offset > u.keep+maxScratch || u.offset > freeUnpacked+maxRatio*u.size):
		err = errTooLarge
	}
	if err != nil {
		err = fmt.Errorf("unpack %s: %w", u.path, err)
	}
	return false, err
}

// close closes the files. Set out to nil to keep it.
func (u *unpacker) close() {
	u.release()
	for _, file := range []*os.File{u.packed, u.out} {
		if file != nil {
			closeRead(file)
		}
	}
}
