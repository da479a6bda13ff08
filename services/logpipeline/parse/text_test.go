package parse_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBytesBecomeText(t *testing.T) {
	t.Parallel()
	const head = "Oct  4 11:22:33 web7 app[41]: "
	for _, c := range []struct{ name, line, message string }{
		{"latin-1", head + "caf\xe9 d\xe9j\xe0 vu", "café déjà vu"},
		{"windows-1252", head + "\x93quoted\x94 5 \x80", "“quoted” 5 €"},
		{"latin-1 beside utf-8", head + "é \xe9", "é é"},
		{"no character of windows-1252", head + "a\x81b", "a\uFFFDb"},
		{"binary", head + "a\x01\xe9", "a\x01\uFFFD"},
		{"byte order mark", "\xef\xbb\xbf" + head + "x", "x"},
		{"utf-16 little endian", utf16Of(head+"x", 0), "x"},
		{"utf-16 big endian", utf16Of(head+"x", 1), "x"},
		{"zero bytes before the line", "\x00\x00" + head + "x", "x"},
		{"zero byte in a word", head + "wo\x00rd", "word"},
		{"end of line", head + "x\r\n\x00", "x"},
		{"escaped end of line", head + "x#015", "x"},
		{"escaped ends of line", head + "x#015#012", "x"},
		{"escaped tab and line feed", head + "a#011b#012 c", "a\tb\n c"},
		{"numbers are no escapes", head + "issue #0123, #12, #999, #018", "issue #0123, #12, #999, #018"},
		{"colours", head + "\x1b[1;31merror\x1b[0m x", "error x"},
		{"escaped colours", head + "#033[31merror#033[0m", "error"},
		{"unfinished escape sequences", head + "a\x1b[", "a["},
		{"escape sequences do not hide text", head + "\x1b]0;title\x07 \x1bPx", "]0;title\x07 Px"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ev := read(c.line)
			require.Equal(t, "web7", ev.Host)
			require.Equal(t, "app", ev.Process)
			require.Equal(t, c.message, ev.Message)
		})
	}
}

// utf16Of returns s, which is ASCII, in UTF-16 with a byte order mark; low is the index of the lower byte.
func utf16Of(s string, low int) string {
	out := []byte{0xff, 0xfe}
	if low == 1 {
		out = []byte{0xfe, 0xff}
	}
	for i := range len(s) {
		unit := [2]byte{}
		unit[low] = s[i]
		out = append(out, unit[:]...)
	}
	return string(out)
}
