package audit

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

// Check reads text as the only segment of a trail. It returns the problems and the lines of its
// whole records, encoded anew.
func Check(t *testing.T, text []byte) ([]Problem, []byte) {
	t.Helper()
	var again []byte
	c := &chain{}
	c.visit = func(r Record) {
		line, err := r.encode()
		require.NoError(t, err)
		again = append(again, line...)
	}
	rest, err := readSegment(bytes.NewReader(text), activeName, c.line)
	require.NoError(t, err)
	if len(rest.text) > 0 {
		c.unended(rest)
	}
	c.end(rest.at)
	return c.problems, again
}

// OpenRead opens a file of the trail.
var OpenRead = openRead
