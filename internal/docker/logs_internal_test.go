package docker

import (
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func frame(text string) string {
	header := make([]byte, 8)
	header[0] = 1
	binary.BigEndian.PutUint32(header[4:], uint32(len(text)))
	return string(header) + text
}

// A log that ends gives its last line without a newline; a broken connection does not,
// because the rest of the line is still to come.
func TestBrokenLogDoesNotEndALine(t *testing.T) {
	t.Parallel()
	const whole, half = "2026-11-23T10:00:00Z one\n", "2026-11-23T10:00:01Z two"
	broken := errors.New("connection reset")
	for name, read := range map[string]func(io.Reader, func(LogLine) error) error{
		"frames":   func(r io.Reader, fn func(LogLine) error) error { return readFrames(r, 0, fn) },
		"terminal": func(r io.Reader, fn func(LogLine) error) error { return readTerminal(r, 0, fn) },
	} {
		log := whole + half
		if name == "frames" {
			log = frame(whole) + frame(half)
		}
		got := func(r io.Reader) (lines []string, err error) {
			err = read(r, func(l LogLine) error {
				lines = append(lines, string(l.Text))
				return nil
			})
			return lines, err
		}
		lines, err := got(strings.NewReader(log))
		require.NoError(t, err, name)
		require.Equal(t, []string{"one", "two"}, lines, name)
		lines, err = got(io.MultiReader(strings.NewReader(log), brokenReader{broken}))
		require.ErrorIs(t, err, broken, name)
		require.Equal(t, []string{"one"}, lines, name)
	}
}

type brokenReader struct{ err error }

func (r brokenReader) Read([]byte) (int, error) { return 0, r.err }
