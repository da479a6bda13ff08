package embedded

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// One bad look is no reason to restart a server under load.
func TestWatchdogNeedsRepeatedFailures(t *testing.T) {
	t.Parallel()
	w := watchdog{pause: lastPause}
	for range failuresToBelieve - 1 {
		require.False(t, w.believe("failed"))
	}
	require.True(t, w.believe(""), "well again")
	require.Equal(t, firstPause, w.pause)
	for range failuresToBelieve - 1 {
		require.False(t, w.believe("failed"))
	}
	require.True(t, w.believe("failed"))
}

func TestDescribeStore(t *testing.T) {
	t.Parallel()
	require.Empty(t, describeStore("", minFree))
	require.Equal(t, "failed", describeStore("failed", minFree))
	require.Contains(t, describeStore("", minFree-1), "is full")
	require.Contains(t, describeStore("failed", 0), "failed; the disk")
}
