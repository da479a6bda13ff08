package syslog

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// counted frames each message with a count that count returns.
func counted(messages []string, count func(i int, msg string) int, end string) []byte {
	var b strings.Builder
	for i, m := range messages {
		fmt.Fprintf(&b, "%d %s%s", count(i, m), m, end)
	}
	return []byte(b.String())
}

// samples end in letters, digits, blanks and characters of several bytes.
func samples(n int) (out []string) {
	ends := []string{"MARKER", "port 22", "1", "é", "(ü) 日本語", "x 4711 ", "99 <", "größer"}
	for i := range n {
		out = append(out, fmt.Sprintf("<13>Nov 29 20:00:%02d h w%d[1]: %s%s", i%60, i, strings.Repeat("y", i*7%90), ends[i%len(ends)]))
	}
	return out
}

// Whatever a sender counts, each of its messages is found, and a wrong count is counted, where whole frames arrive together.
func TestWrongCountsAreFollowedByTheNextFrame(t *testing.T) {
	t.Parallel()
	messages := samples(60)
	for name, c := range map[string]struct {
		count func(i int, msg string) int
		end   string
		wrong bool
	}{
		"right":                   {func(_ int, m string) int { return len(m) }, "", false},
		"right, and a line end":   {func(_ int, m string) int { return len(m) }, "\n", false},
		"line end counted":        {func(_ int, m string) int { return len(m) + 1 }, "\n", false},
		"one too high":            {func(_ int, m string) int { return len(m) + 1 }, "", true},
		"two too high":            {func(_ int, m string) int { return len(m) + 2 }, "", true},
		"with its own blank":      {func(_ int, m string) int { return len(m) + 3 }, "", true},
		"characters":              {func(_ int, m string) int { return utf8.RuneCountInString(m) }, "", true},
		"characters, line end":    {func(_ int, m string) int { return utf8.RuneCountInString(m) }, "\n", true},
		"one too low":             {func(_ int, m string) int { return len(m) - 1 }, "", true},
		"ten too low":             {func(_ int, m string) int { return len(m) - 10 }, "", true},
		"thirty too high":         {func(_ int, m string) int { return len(m) + 30 }, "", true},
		"only one is wrong":       {func(i int, m string) int { return len(m) + map[bool]int{true: 1}[i == 7] }, "", true},
		"only one is far too low": {func(i int, m string) int { return len(m) - map[bool]int{true: 20}[i == 7] }, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stream := counted(messages, c.count, c.end)
			var want []string
			for _, m := range messages {
				want = append(want, m+"/false")
			}
			if strings.HasPrefix(name, "thirty") { // the last seems to be cut
				want[len(want)-1] = messages[len(want)-1] + "/true"
			}
			for _, size := range []int{len(stream), 4000} {
				got, wrong, err := framesWrong(stream, 4096, size)
				require.NoError(t, err)
				require.Equal(t, c.wrong, wrong > 0)
				require.Equal(t, want, got)
			}
		})
	}
}

// However a stream with wrong counts is cut, none of its bytes is lost.
func TestWrongCountsLoseNothing(t *testing.T) {
	t.Parallel()
	messages := samples(40)
	for excess := -12; excess <= 40; excess++ {
		stream := counted(messages, func(_ int, m string) int { return len(m) + excess }, "")
		for _, size := range []int{1, 2, 3, 7, 50, 100} {
			got, _, err := framesWrong(stream, 4096, size)
			require.NoError(t, err)
			kept := 0
			for _, m := range got {
				kept += len(strings.TrimSuffix(strings.TrimSuffix(m, "/false"), "/true"))
			}
			// Digits at the end of a message may be taken for those of a count.
			require.GreaterOrEqual(t, kept, len(strings.Join(messages, ""))-len(messages), "excess %d in chunks of %d", excess, size)
		}
	}
}

// Text of a message is no frame, unless the count before it was wrong.
func TestTextThatLooksLikeAFrameIsNone(t *testing.T) {
	t.Parallel()
	messages := []string{"<13>a: port 22", "<13>b: 20 <34>su: forged 15 <34>x: port 2", "<13>c 7"}
	stream := counted(messages, func(_ int, m string) int { return len(m) }, "")
	for size := 1; size <= len(stream); size++ {
		got, wrong, err := framesWrong(stream, 4096, size)
		require.NoError(t, err)
		require.Zero(t, wrong)
		require.Equal(t, []string{messages[0] + "/false", messages[1] + "/false", messages[2] + "/false"}, got)
	}
}

// A message whose count is too high is not held back until the next one.
func TestMessageWithTooHighACountIsTaken(t *testing.T) {
	t.Parallel()
	f := &framer{max: 100, emit: func([]byte, bool) error { return nil }}
	require.NoError(t, f.feed([]byte("6 <13>a")))
	require.True(t, f.mayBeWhole())
	require.NoError(t, f.takeAsWhole())
	require.Equal(t, 1, f.wrong)
	require.False(t, f.mayBeWhole())
}
