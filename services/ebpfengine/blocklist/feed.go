package blocklist

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"unicode"
)

// The bounds of one file.
const (
	maxLine      = 4 << 10
	maxFeedBytes = 256 << 20
	maxPrefixes  = 4 << 20 // before they are collapsed; the kernel's list ends at 1 Mi
	maxNamedBad  = 10
)

// errTooMuch is returned for a file beyond the bounds.
var errTooMuch = errors.New("file is too large for a feed")

// BadLine is a line of a feed that cannot be used. Err does not repeat the line.
type BadLine struct {
	Line int
	Err  error
}

// Feed is the contents of one file. Prefixes are masked and may repeat or overlap.
type Feed struct {
	Prefixes []netip.Prefix
	Lines    int       // that are neither empty nor a comment
	Bad      int       // of them, those that cannot be used
	BadLines []BadLine // the first ten of them
	// HostBits counts prefixes such as 10.191.1.13/29, which stand for their network; FirstHostBits is the line of the first.
	HostBits, FirstHostBits int

	hasHeader bool
}

// ReadFeed reads a feed: one address, prefix or range a line, with comments after # or ;, plain, as the first column of
// CSV, or as ipset save writes it. A first line that names the columns of CSV is skipped. Lines that cannot be used are
// counted, and the first ten returned; the error is for a file that cannot be read to its end, or that exceeds 256 MiB or 4 Mi
// prefixes.
func ReadFeed(r io.Reader) (Feed, error) { return readFeed(r, maxFeedBytes, maxPrefixes) }

func readFeed(r io.Reader, maxFeedBytes int64, maxPrefixes int) (Feed, error) {
	var f Feed
	limit := &io.LimitedReader{R: r, N: maxFeedBytes + 1}
	in := bufio.NewReaderSize(limit, maxLine)
	for number := 1; ; number++ {
		line, err := readLine(in)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, errLong) {
			return f, err
		}
		f.add(number, string(line), err)
		if limit.N == 0 || len(f.Prefixes) > maxPrefixes {
			return f, fmt.Errorf("%w: more than %d MiB or %d prefixes", errTooMuch, maxFeedBytes>>20, maxPrefixes)
		}
		if errors.Is(err, io.EOF) {
			return f, nil
		}
	}
}

// readLine returns a line, valid until the next call. A line longer than the buffer is skipped and gives errLong. io.EOF comes
// with the last line, which may be empty.
func readLine(in *bufio.Reader) ([]byte, error) {
	line, err := in.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, err
	}
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = in.ReadSlice('\n')
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return nil, errLong // at the end of the file the next call returns io.EOF
}

// add parses one line; readErr may be errLong.
func (f *Feed) add(number int, line string, readErr error) {
	before := len(f.Prefixes)
	err := readErr
	if !errors.Is(err, errLong) {
		f.Prefixes, err = parseLine(line, f.Prefixes)
	}
	if errors.Is(err, errHostBits) {
		if f.HostBits++; f.HostBits == 1 {
			f.FirstHostBits = number
		}
		err = nil
	}
	switch {
	case err == nil && len(f.Prefixes) == before:
		return // empty or a comment
	case err == nil:
		f.Lines++
		return
	case f.Lines == 0 && !f.hasHeader && namesColumns(line):
		f.hasHeader = true
		return
	}
	f.Lines++
	f.Bad++
	if len(f.BadLines) < maxNamedBad {
		f.BadLines = append(f.BadLines, BadLine{Line: number, Err: err})
	}
}

// namesColumns reports a header line of CSV such as "ip,first_seen,country".
func namesColumns(line string) bool {
	first, rest := column(strings.TrimSpace(line))
	if rest.sep != ',' || first == "" {
		return false
	}
	return !strings.ContainsFunc(first, func(r rune) bool { return !unicode.IsLetter(r) && r != '_' && r != ' ' })
}
