//go:build unix

package tail_test

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReasonsNameFilesThatAreNotFollowed(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	require.NoError(t, os.Mkdir(d.path("folder.log"), 0o700))
	require.NoError(t, syscall.Mkfifo(d.path("pipe.log"), 0o600))
	r := newRig(t, d.path("folder.log"), d.path("pipe.log"), "/dev/null", d.path("missing/app.log"))
	r.settle()
	got := strings.Join(r.tail.Stats().Reasons, "\n")
	for _, want := range []string{"folder.log is a folder", "pipe.log is a named pipe", "/dev/null is a device"} {
		require.Contains(t, got, want)
	}
	require.Equal(t, []string{d.path("missing/app.log")}, r.tail.Stats().Missing, "a missing file is no fault")
	require.NoError(t, os.Mkdir(d.path("missing"), 0o700))
	d.add("missing/app.log", "here\n")
	r.want("here")
	require.Len(t, r.tail.Stats().Reasons, 3)
	require.Empty(t, r.tail.Stats().Missing)
}
