package embedded

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// One bad look is no reason to restart a server under load.
func TestWatchdogIsNotEasilyConvinced(t *testing.T) {
	t.Parallel()
	w := watchdog{pause: lastPause}
	for range convinced - 1 {
		require.False(t, w.judge("failed"))
	}
	require.True(t, w.judge(""), "well again")
	require.Equal(t, firstPause, w.pause)
	for range convinced - 1 {
		require.False(t, w.judge("failed"))
	}
	require.True(t, w.judge("failed"))
}

func TestVerdict(t *testing.T) {
	t.Parallel()
	require.Empty(t, verdict("", minFree))
	require.Equal(t, "failed", verdict("failed", minFree))
	require.Contains(t, verdict("", minFree-1), "is full")
	require.Contains(t, verdict("failed", 0), "failed; the disk")
}
