package tail_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A file that the operator named, that was there and is not any more, is told while others are there. One that was never there and a pattern without
// files are not.
func TestNamedFileThatIsGoneIsTold(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	d.add("a.log", "")
	d.add("b.log", "")
	r := newRig(t, d.path("a.log"), d.path("b.log"), d.path("never.log"), d.path("*.txt"))
	r.settle()
	require.Empty(t, r.tail.Stats().Reasons)
	d.remove("a.log")
	told := func() bool {
		r.read(1, 10*time.Millisecond)
		reasons := strings.Join(r.tail.Stats().Reasons, "\n")
		require.NotContains(t, reasons, "never.log")
		return strings.Contains(reasons, d.path("a.log")+" was followed and is gone")
	}
	require.Eventually(t, told, 10*time.Second, 20*time.Millisecond)
	require.Equal(t, 1, r.tail.Stats().Present)
	d.add("a.log", "again\n")
	r.want("again")
	require.Empty(t, r.tail.Stats().Reasons)
}
