package tail

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	// maxUnpacked bounds what is unpacked of one compressed file, read or not, and
	// maxScratch what of it is kept on disk.
	maxUnpacked = 8 << 30
	maxScratch  = 2 << 30
	// minGzipLen is the length of a gzip file without content: header and trailer.
	minGzipLen = 18
)

var (
	errTooLarge     = errors.New("too large to unpack")
	errOtherContent = errors.New("begins with another content")
)

// unpackGzip unpacks the gzip file at path (RFC 1952) into a file of dir that has no
// name any more. Of the bytes before the place of st only those under its fingerprints
// are kept. The info is that of path with the unpacked size. The error is
// errOtherContent if it does not begin as st does: the rest is not unpacked then.
func unpackGzip(dir, path string, st *FileState) (file *os.File, info fileInfo, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("unpack %s: %w", path, err)
		}
	}()
	packed, info, err := openRegular(path)
	if err != nil {
		return nil, fileInfo{}, err
	}
	defer closeRead(packed)
	r, err := gzip.NewReader(packed)
	if err != nil {
		return nil, fileInfo{}, err
	}
	if file, err = unnamedFile(dir); err != nil {
		return nil, fileInfo{}, err
	}
	if info.size, err = unpack(file, r, st); err != nil {
		closeRead(file)
		return nil, fileInfo{}, err
	}
	return file, info, nil
}

// unnamedFile makes a file that is gone when it is closed, or this process ends.
func unnamedFile(dir string) (*os.File, error) {
	file, err := os.CreateTemp(dir, "unpacked-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(file.Name()); err != nil {
		closeRead(file)
		return nil, err
	}
	return file, nil
}

// unpack writes the first bytes of r, and those around the place of st and after it, to
// their offsets in out, and returns the size of all.
func unpack(out *os.File, r io.Reader, st *FileState) (int64, error) {
	head, err := io.CopyN(out, r, fingerprintLen)
	if err != nil {
		return head, ignoreEOF(err)
	}
	if !st.Head.matches(out, 0) {
		return head, errOtherContent
	}
	from := min(max(fingerprintLen, st.Offset-fingerprintLen), maxUnpacked)
	skipped, err := io.CopyN(io.Discard, r, from-head)
	if err != nil {
		return head + skipped, ignoreEOF(err)
	}
	n, err := io.Copy(io.NewOffsetWriter(out, from), io.LimitReader(r, maxScratch+1))
	if err == nil && n > maxScratch {
		err = errTooLarge
	}
	return from + n, err
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
