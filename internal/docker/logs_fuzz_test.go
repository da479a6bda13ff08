package docker

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzLogs reads any bytes as both forms of a log: no line is longer than allowed, none
// has a newline, and there is no more text than input.
func FuzzLogs(f *testing.F) {
	const at = "2026-11-23T10:00:00.000000000Z "
	f.Add([]byte(frame(at+"one\n")+frame(at+"two")), 10)
	f.Add([]byte(at+strings.Repeat("x", partSize)+at+"rest\r\n"), 100)
	f.Add([]byte{1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, 5)
	f.Add([]byte("no time\n\n\n"), 0)
	f.Fuzz(func(t *testing.T, log []byte, maxLine int) {
		limit := maxLine
		if limit <= 0 {
			limit = defaultMaxLine
		}
		for _, read := range []func(io.Reader, int, func(LogLine) error) error{readFrames, readTerminal} {
			total := 0
			_ = read(bytes.NewReader(log), maxLine, func(l LogLine) error { // errors are expected
				require.LessOrEqual(t, len(l.Text), limit)
				require.NotContains(t, string(l.Text), "\n")
				total += len(l.Text)
				return nil
			})
			require.LessOrEqual(t, total, len(log))
		}
	})
}
