package audit

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

// CheckText reads text as the only segment of a trail. It returns the problems and the lines of its valid
// records, encoded anew.
func CheckText(t *testing.T, text []byte) ([]Problem, []byte) {
	t.Helper()
	var again []byte
	c := newChecker(Head{}, beginning{}, activeName)
	c.visit = func(r Record) {
		line, err := r.encode()
		require.NoError(t, err)
		again = append(again, line...)
	}
	rest, err := readSegment(t.Context(), bytes.NewReader(text), activeName, c.take)
	require.NoError(t, err)
	c.takeUnended(rest)
	c.end(rest.at)
	return c.problems, again
}

// OpenRead opens a file of the trail.
var OpenRead = openRead
