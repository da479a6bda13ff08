package actioncollector_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
)

func TestActionsWaitWhileTheDiskIsFull(t *testing.T) {
	b := bustest.New(t)
	dir := testenv.SmallDisk(t, "256k")
	c := start(t, b, filepath.Join(dir, "audit"))
	publish(t, b, 1, 5)
	c.waitFor("actions_audited", 5)

	filler := testenv.FillDisk(t, dir, 0)
	publish(t, b, 6, 40) // more than the last page of the segment holds
	require.Eventually(t, func() bool { return c.Health().Status == event.Degraded }, patience, time.Millisecond)
	require.Contains(t, c.Health().Reasons[0], "no space left for the audit trail")

	require.NoError(t, os.Remove(filler))
	c.waitFor("trail_head", 40)
	require.Eventually(t, func() bool { return c.Health().Status == event.Healthy }, patience, time.Millisecond)
	c.end()
	require.EqualValues(t, 40, intact(t, filepath.Join(dir, "audit"), storedHead(t, b)).Records)
}
