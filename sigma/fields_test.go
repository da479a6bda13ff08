package sigma_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/sigma"
)

// Fields behave as a map that keeps the order, however many there are.
func TestFieldsAreAMapInOrder(t *testing.T) {
	t.Parallel()
	for _, count := range []int{3, 31, 32, 33, 200} {
		var f sigma.Fields
		for i := range count {
			f.Set(fmt.Sprint("f", i), sigma.Int(int64(i)))
		}
		f.Set("f1", sigma.Text("new"))
		require.Equal(t, count, f.Len())
		require.Equal(t, "new", f.Text("f1"))
		_, ok := f.Get("missing")
		require.False(t, ok)
		last, ok := f.Get(fmt.Sprint("f", count-1))
		require.True(t, ok)
		require.Equal(t, int64(count-1), last.Any())

		copied := f.Clone()
		copied.Set("f0", sigma.Text("other"))
		copied.Delete(func(name string) bool { return strings.HasSuffix(name, "1") })
		require.Empty(t, copied.Text("f1"))
		require.Empty(t, f.Text("f0"), "a clone is independent")
		require.Equal(t, "new", f.Text("f1"))
		var names []string
		for name := range copied.All() {
			names = append(names, name)
		}
		require.Len(t, names, copied.Len())
		require.Equal(t, "f0", names[0])
		for _, name := range names {
			_, ok := copied.Get(name)
			require.True(t, ok, name)
		}
		f.Reset()
		require.Zero(t, f.Len())
		_, ok = f.Get("f0")
		require.False(t, ok)
	}
}
