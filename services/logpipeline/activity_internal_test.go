package logpipeline

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestNoInputAtAll(t *testing.T) {
	t.Parallel()
	var a absence
	at := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	require.Empty(t, a.reason(false, 7, at))
	require.Empty(t, a.reason(true, 7, at.Add(29*time.Second)), "it came back")
	require.Empty(t, a.reason(false, 7, at.Add(40*time.Second)))
	require.Contains(t, a.reason(false, 7, at.Add(80*time.Second)), "none of 7 watch_paths is there")
}
