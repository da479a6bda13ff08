package health_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/health"
)

func TestLossesAreAReasonForAWhile(t *testing.T) {
	t.Parallel()
	var l health.Losses
	at := time.Date(2026, 11, 30, 10, 0, 0, 0, time.UTC)
	require.Empty(t, l.Reason("messages were dropped", at))
	l.Add("peer", "a", 0, at)
	require.Empty(t, l.Reason("messages were dropped", at), "nothing was lost")
	l.Add("peer", "a", 2, at)
	l.Add("peer", "b", 5, at.Add(time.Minute))
	l.Add("buffer", "", 100, at.Add(time.Minute))
	for i := range 5000 {
		l.Add("peer", fmt.Sprintf("forged %d", i), 1, at.Add(2*time.Minute))
	}
	require.Equal(t, "messages were dropped since 2026-11-30T10:00:00Z: buffer 100, peer 5007; the most, 5, of b",
		l.Reason("messages were dropped", at.Add(11*time.Minute)))
	require.Empty(t, l.Reason("messages were dropped", at.Add(12*time.Minute)))
	l.Add("disk", "c", 1, at.Add(time.Hour))
	require.Equal(t, "messages were dropped since 2026-11-30T11:00:00Z: disk 1; the most, 1, of c",
		l.Reason("messages were dropped", at.Add(time.Hour)))
}
