package audit

import (
	"bufio"
	"bytes"
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

// closedName is the form of a full segment: the seq of its first record, in
// digits that sort, and a number in the rare case that the name is taken.
var closedName = regexp.MustCompile(`^audit-[0-9]{20}\.log(\.[0-9]{3})?$`)

// segments returns the names of the files of the trail in dir, oldest first.
func segments(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir) // sorted by name, so that audit.log, the newest, stands last ('-' < '.')
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

// closedAs returns a free name for the active segment whose first record is seq.
func closedAs(dir string, seq uint64) (string, error) {
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

// tail is a last line without line feed.
type tail struct {
	at   place
	text []byte
}

// readSegment passes every line of f that ends to each, which may use it during the call, and returns what
// follows the last line feed. It reads through one buffer; of a line longer than maxLine only the start is seen.
func readSegment(f io.Reader, name string, each func(place, []byte)) (tail, error) {
	r := bufio.NewReaderSize(f, maxLine+1)
	at := place{file: name, line: 1}
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
			return tail{at, bytes.Clone(text)}, nil
		}
		if err != nil {
			return tail{}, fmt.Errorf("read %s: %w", name, err)
		}
		each(at, bytes.TrimSuffix(text, []byte("\n")))
		at.line++
		at.offset += size
	}
}

// skipLine reads up to the next line feed and returns how many bytes that were.
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

// torn reports whether text, a last line without line feed, is what a crash
// leaves of record next: its beginning, then nothing or the zeros of blocks that were
// never written. A whole record that another byte follows is not.
func torn(text []byte, next uint64, prev Hash) bool {
	text = bytes.TrimRight(text, "\x00")
	if len(text) > maxLine || joint(text) > 0 {
		return false
	}
	return difference(text, []byte(chainPrefix(next, prev))) < 0
}
