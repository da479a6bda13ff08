package quarantine_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
)

// onSmallDisk returns a guard whose folder is on a disk of its own, and has reserved room.
func onSmallDisk(t *testing.T, d *testenv.Docker) (g *guard, disk string) {
	t.Helper()
	disk = testenv.SmallDisk(t, "8m")
	g = newGuard(t, d, func(o *quarantine.Options) { o.DataDir = filepath.Join(disk, "guard") })
	g.dir = filepath.Join(disk, "guard")
	g.run(t)
	require.Eventually(t, func() bool { return reserved(t, g.dir) == 64 }, 20*time.Second, 10*time.Millisecond)
	return g, disk
}

func reserved(t *testing.T, dir string) int {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "quarantine", ".reserved-??"))
	require.NoError(t, err)
	return len(found)
}

func TestFullDiskDoesNotKeepAContainerRunning(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	g, disk := onSmallDisk(t, d)
	require.Empty(t, g.manager.LedgerReason())
	filler := testenv.FillDisk(t, disk, 0)
	for range 3 {
		id := d.Run(t, testenv.ContainerOptions{Restart: "always"})
		require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
		require.True(t, g.isolated(t, id))
		require.Contains(t, g.manager.LedgerReason(), "no space left")
		require.Contains(t, g.manager.LedgerReason(), "of 64 reserved records are left")

		again, err := quarantine.Open(quarantine.Options{Docker: g.client, DataDir: g.dir, Host: "test", Report: g.report})
		require.NoError(t, err)
		require.Len(t, again.List(), 1, "the order outlives the guard, which may be killed at any time")
		require.NoError(t, again.Close())
		g.release(t, id)
		c := g.inspect(t, id)
		require.True(t, c.Running && !c.Paused && len(c.Networks) == 1 && c.RestartPolicy.Name == "always")
	}
	require.NoError(t, os.Remove(filler))
	require.Eventually(t, func() bool { return g.manager.LedgerReason() == "" && reserved(t, g.dir) == 64 }, 20*time.Second, 10*time.Millisecond)
}

func TestFullDiskWithoutReserveFreezesFirst(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	disk := testenv.SmallDisk(t, "8m")
	dir := filepath.Join(disk, "guard")
	g := newGuard(t, d, func(o *quarantine.Options) { o.DataDir = dir })
	g.dir = dir
	filler := testenv.FillDisk(t, disk, 0)
	id := d.Run(t, testenv.ContainerOptions{Restart: "always"})
	err := g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate))
	require.ErrorContains(t, err, "no space left", "the alert is delivered again")
	c := g.inspect(t, id)
	require.True(t, c.Paused)
	require.Len(t, c.Networks, 1, "what could not be restored is not done before it is in the ledger")
	require.Contains(t, g.manager.LedgerReason(), "containers are frozen all the same")
	require.Len(t, g.manager.List(), 1)

	g.run(t)
	require.NoError(t, os.Remove(filler))
	require.Eventually(t, func() bool {
		e, _ := g.manager.Get(id)
		return e.State == quarantine.Held && g.manager.LedgerReason() == ""
	}, 20*time.Second, 10*time.Millisecond)
	require.True(t, g.isolated(t, id))
	require.FileExists(t, filepath.Join(dir, "quarantine", fmt.Sprint(id, ".json")))
	g.release(t, id)
	require.False(t, g.inspect(t, id).Paused)
}

// The log of the container that is to be isolated takes every block that becomes free.
func TestReservedRoomCannotBeTakenByOthers(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	g, disk := onSmallDisk(t, d)
	stop, stopped := make(chan struct{}), make(chan struct{})
	testenv.FillDisk(t, disk, 0)
	go func() {
		defer close(stopped)
		f, err := os.Create(filepath.Join(disk, "log"))
		for err == nil {
			_, _ = f.Write(make([]byte, 4096)) // fails most of the time
			select {
			case <-stop:
				_ = f.Close()
				return
			default:
			}
		}
	}()
	var ids []string
	for range 4 {
		id := d.Run(t, testenv.ContainerOptions{})
		require.NoError(t, g.manager.Apply(t.Context(), g.order(id, quarantine.Isolate)))
		require.True(t, g.isolated(t, id))
		ids = append(ids, id)
	}
	close(stop)
	<-stopped
	for _, id := range ids {
		require.FileExists(t, filepath.Join(g.dir, "quarantine", id+".json"))
	}
}
