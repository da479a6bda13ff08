package audit

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

// activeName is the segment being written.
const activeName = "audit.log"

// closedName matches the name of a closed segment: the seq of its first record, padded so that names sort,
// and a number in the rare case that the name is taken.
var closedName = regexp.MustCompile(`^audit-[0-9]{20}\.log(\.[0-9]{3})?$`)

// segmentNames returns the names of the segments in dir, oldest first.
func segmentNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir) // sorted by name; the active segment sorts last, because '-' < '.'
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.Name() == activeName || closedName.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// freeClosedName returns a name that is not taken for the segment that begins with record seq.
func freeClosedName(dir string, seq uint64) (string, error) {
	for n := range 1000 {
		name := fmt.Sprintf("audit-%020d.log", seq)
		if n > 0 {
			name = fmt.Sprintf("audit-%020d.log.%03d", seq, n)
		}
		_, err := os.Lstat(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			return name, nil
		}
	}
	return "", fmt.Errorf("no free name for the segment of record %d in %s", seq, dir)
}

// remainder is the text after the last line feed of a segment, and where it begins.
type remainder struct {
	at   position
	text []byte
}

// readSegmentFile passes every complete line of the segment name in dir to each and returns what follows
// the last one.
func readSegmentFile(ctx context.Context, dir, name string, each func(position, []byte)) (remainder, error) {
	if err := ctx.Err(); err != nil {
		return remainder{}, err
	}
	f, err := openRead(filepath.Join(dir, name))
	if err != nil {
		return remainder{}, err
	}
	defer f.Close() //nolint:errcheck // only read
	return readSegment(ctx, f, name, each)
}

// readSegment is readSegmentFile for an open file. Each line is valid during the call only. It reads
// through one buffer; of a line longer than maxLine only the start is passed on.
func readSegment(ctx context.Context, f io.Reader, name string, each func(position, []byte)) (remainder, error) {
	r := bufio.NewReaderSize(f, maxLine+1)
	at := position{file: name, line: 1}
	for {
		text, err := r.ReadSlice('\n')
		size := int64(len(text))
		if errors.Is(err, bufio.ErrBufferFull) {
			text = bytes.Clone(text)
			var more int64
			more, err = skipLine(r)
			size += more
		}
		if errors.Is(err, io.EOF) {
			return remainder{at, bytes.Clone(text)}, nil
		}
		if err != nil {
			return remainder{}, fmt.Errorf("read %s: %w", name, err)
		}
		if at.line%1024 == 0 && ctx.Err() != nil { // a segment takes a good part of a second
			return remainder{}, ctx.Err()
		}
		each(at, bytes.TrimSuffix(text, []byte("\n")))
		at.line++
		at.offset += size
	}
}

// skipLine reads up to the next line feed and returns how many bytes it read.
func skipLine(r *bufio.Reader) (int64, error) {
	var n int64
	for {
		text, err := r.ReadSlice('\n')
		n += int64(len(text))
		if !errors.Is(err, bufio.ErrBufferFull) {
			return n, err
		}
	}
}

// isTorn reports whether text, a last line without line feed, is what a crash leaves of the record after
// last: a prefix of it, then nothing or the zeros of blocks that were never written. A complete record
// that another byte follows is not torn.
func isTorn(text []byte, last Head) bool {
	text = bytes.TrimRight(text, "\x00")
	if len(text) > maxLine || recordEnd(text) > 0 {
		return false
	}
	return firstDifference(text, []byte(chainPrefix(last.Seq+1, last.Hash))) < 0
}

// readSmallFile returns the content of a file of at most limit bytes.
func readSmallFile(path string, limit int64) ([]byte, error) {
	f, err := openRead(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return text, err
}
