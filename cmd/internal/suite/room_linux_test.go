package suite_test

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
)

// With a full disk, empty or with an earlier store, the daemon does not end: it is degraded, and starts when there is space.
func TestFullDiskAtTheStartIsWaitedFor(t *testing.T) {
	for name, used := range map[string]bool{"first start": false, "later start": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := install(t, "")
			i.configure(i.logsOn())
			disk := testenv.SmallDisk(t, "64m")
			require.NoError(t, os.Symlink(disk, i.dir+"/data"))
			i.replace("observer = false", "observer = false\nmax_store_bytes = 67108864")
			starts := 0
			if used {
				starts++
				i.startTimes(starts)
				storeAlertsAndABlock(t, i, 3)
				require.Zero(t, i.stop(), i.stderr.String())
			}
			ballast := testenv.FillDisk(t, disk, 0)
			go func() { i.exit <- i.process().Run(t.Context()) }()
			require.Eventually(t, func() bool {
				h, ok := i.healthOf()
				return ok && h.Status == event.Degraded && strings.Contains(h.Modules[0].Reasons[0], "is full, waiting for space to start")
			}, 2*patience, 20*time.Millisecond, "%s", &i.stderr)
			require.NoError(t, os.Remove(ballast))
			require.Eventually(t, func() bool { return strings.Count(i.stderr.String(), `"msg":"ready"`) == starts+1 }, 2*patience, 20*time.Millisecond, "%s", &i.stderr)
			if used {
				require.Equal(t, 1, countBlocks(t, i))
			}
			storeAlertsAndABlock(t, i, 3)
			require.Zero(t, i.stop(), i.stderr.String())
		})
	}
}

// A daemon that waits for space stops when it is asked to.
func TestWaitForSpaceCanBeStopped(t *testing.T) {
	t.Parallel()
	i := install(t, allOff)
	disk := testenv.SmallDisk(t, "16m")
	require.NoError(t, os.Symlink(disk, i.dir+"/data"))
	testenv.FillDisk(t, disk, 0)
	go func() { i.exit <- i.process().Run(t.Context()) }()
	i.await("cannot start yet")
	require.Zero(t, i.stop(), i.stderr.String())
}

// healthOf returns the health, false while nothing answers.
func (i *instance) healthOf() (h event.DaemonHealth, ok bool) {
	resp, err := http.Get("http://" + i.metrics + "/healthz")
	if err != nil {
		return h, false
	}
	defer func() { _ = resp.Body.Close() }()
	return h, json.NewDecoder(resp.Body).Decode(&h) == nil && len(h.Modules) > 0 && len(h.Modules[0].Reasons) > 0
}
