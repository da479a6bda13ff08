package tail

import (
	"bytes"
	"errors"
	"io"
	"os"
	"unicode/utf8"
)

// sniffBytes is how much of the beginning of a file says what it is.
const sniffBytes = 4096

// Kinds of contents that are no text.
const (
	kindBinary = "binary"
	kindGzip   = "gzip"
	kindXz     = "xz"
	kindZstd   = "zstd"
	kindBzip2  = "bzip2"
	kindOther  = "compressed" // in a way that is not unpacked here
)

// magics are the first bytes of compressed files.
var magics = []struct{ magic, kind string }{
	{"\x1f\x8b\x08", kindGzip},     // RFC 1952
	{"\xfd7zXZ\x00", kindXz},       // The .xz File Format, 2.1.1.1
	{"\x28\xb5\x2f\xfd", kindZstd}, // RFC 8878
	{"BZh", kindBzip2},
	{"\x04\x22\x4d\x18", kindOther}, // LZ4 frame
	{"\x1f\x9d", kindOther},         // compress(1)
	{"\x5d\x00\x00", kindOther},     // LZMA
	{"LZIP", kindOther},
	{"PK\x03\x04", kindOther}, // zip
	{"7z\xbc\xaf\x27\x1c", kindOther},
}

// kindOfContent returns what a content is that begins with b, "" for text. A magic is needed in full, and for bzip2 what must follow it.
func kindOfContent(b []byte) string {
	for _, m := range magics {
		if !bytes.HasPrefix(b, []byte(m.magic)) {
			continue
		}
		if m.kind == kindBzip2 && !bzip2Begins(b) {
			continue
		}
		return m.kind
	}
	if isBinary(b) {
		return kindBinary
	}
	return ""
}

// bzip2Begins reports whether b goes on, after "BZh", with a level and the first block or the end.
func bzip2Begins(b []byte) bool {
	return len(b) >= 10 && b[3] >= '1' && b[3] <= '9' &&
		(string(b[4:10]) == "\x31\x41\x59\x26\x53\x59" || string(b[4:10]) == "\x17\x72\x45\x38\x50\x90")
}

// isBinary reports whether more than a twentieth of b are characters that texts do not hold, and it has hardly a line of text. A run of zero
// bytes counts as one: it may be the hole before the first write after a truncation.
func isBinary(b []byte) bool {
	const minSample = 64
	if isUTF16(formOf(b)) {
		return false
	}
	odd, all := 0, 0
	for i, c := range b {
		if c == 0 && i > 0 && b[i-1] == 0 {
			continue
		}
		all++
		if isOdd(c) {
			odd++
		}
	}
	return all >= minSample && odd*20 > all && !hasTextLines(b)
}

// isOdd reports whether c is a control character that neither formats a text nor colours it.
func isOdd(c byte) bool {
	return c < ' ' && bytes.IndexByte([]byte("\a\b\t\n\v\f\r\x1b"), c) < 0
}

// hasTextLines reports whether b has two lines of text: then one that somebody got into it does not hide the others.
func hasTextLines(b []byte) bool {
	const minLine = 16
	found := 0
	for line := range bytes.Lines(b) {
		if len(line) > minLine && line[len(line)-1] == '\n' && utf8.Valid(line) && !bytes.ContainsFunc(line, func(r rune) bool { return r < ' ' && isOdd(byte(r)) }) {
			found++
		}
	}
	return found >= 2
}

func isCompressedKind(kind string) bool { return kind != "" && kind != kindBinary }

// sniff returns the kind of the content of file, "" for text and for what cannot be read: the reader says why.
func sniff(file *os.File) string {
	b := make([]byte, sniffBytes)
	n, err := file.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	return kindOfContent(b[:n])
}
