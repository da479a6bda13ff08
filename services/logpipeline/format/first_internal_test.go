package format

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// A text that an expression matches is never refused by its first byte, and many others are.
func TestFirstBytesHoldEveryMatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ re, refused string }{
		{`^(?P<a>\d+) x`, "ax."}, {`^(?P<a>[a-c]?)b`, "xz1"}, {`^(?i)(?P<a>k)`, ""}, {`^(?:x|(?P<a>y)*)z`, "ab"}, {`^\b(?P<a>w+)`, "x"},
		{`^(?P<a>é)`, "ae"}, {`^(?P<a>.)`, ""}, {`^(?P<a>[^x])`, "x"}, {`^(?P<a>\S+)$`, " "}, {`^(?P<a>)`, ""}, {`^(?:(?P<a>[0-9]{2,3})|q)r`, "r"},
	} {
		p, err := newRegex(c.re)
		require.NoError(t, err, c.re)
		for r := range rune(0x300) {
			for _, rest := range []string{"", "b", "z", " x", "yz", "12r", "w"} {
				text := string(r) + rest
				_, got := p.match(text)
				require.Equal(t, regexp.MustCompile(c.re).MatchString(text), got, "%s %q", c.re, text)
			}
		}
		for _, b := range []byte(c.refused) {
			require.False(t, p.first[b], "%s %c", c.re, b)
		}
	}
}
