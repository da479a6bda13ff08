package audit_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/actioncollector/audit"
)

// seeds adds a valid trail, a torn one and damaged ones.
func seeds(f *testing.F) {
	dir, _ := written(f, 2)
	whole, err := os.ReadFile(filepath.Join(dir, "audit.log"))
	require.NoError(f, err)
	f.Add(whole)
	f.Add(whole[:len(whole)-10])
	f.Add(append(whole[:len(whole)-1:len(whole)-1], 'x'))
	f.Add([]byte("\n\n{\"seq\":1"))
}

// FuzzCheck reads any bytes as a segment: one without problems is equal to its records encoded again.
func FuzzCheck(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		problems, rewritten := audit.CheckText(t, text)
		require.LessOrEqual(t, len(problems), 100)
		if len(problems) == 0 {
			require.Equal(t, string(text), string(rewritten))
		}
	})
}

// FuzzOpen opens any bytes as a trail, appends to it and opens the result, which must need no repair. Most
// of its time is fsync; run it on a memory file system.
func FuzzOpen(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		overwrite(t, dir, text)
		trail := open(t, audit.Config{Dir: dir})
		_, err := trail.Append(entry(1))
		require.NoError(t, err)
		require.NoError(t, trail.Close())
		again := open(t, audit.Config{Dir: dir, Head: trail.Head()})
		require.Nil(t, again.Found().Break)
		require.Nil(t, again.Found().Repaired)
	})
}
