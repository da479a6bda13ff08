package task_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/task"
)

func TestPauseEndsWithItsTimeOrItsContext(t *testing.T) {
	t.Parallel()
	began := time.Now()
	task.Pause(t.Context(), 20*time.Millisecond)
	require.GreaterOrEqual(t, time.Since(began), 20*time.Millisecond)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	task.Pause(ended, time.Hour)
}
