package suite_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
)

const streamsFolder = "data/bus/jetstream/IRONPOST/streams/"

// While the daemon is down something of its data folder is lost or damaged: it starts, and its health says what, also after one more
// start.
func TestLossesAreTold(t *testing.T) {
	for name, tc := range map[string]struct {
		damage func(t *testing.T, i *instance)
		module string
		says   string
	}{
		"the block of the alerts": {gone(streamsFolder + "IRONPOST_ALERTS/msgs/1.blk"), "bus", "3 stored messages of IRONPOST_ALERTS are gone"},
		"a byte of an alert":      {flipped(streamsFolder + "IRONPOST_ALERTS/msgs/1.blk"), "bus", "1 stored messages of IRONPOST_ALERTS are gone"},
		"all files of the alerts": {gone(streamsFolder + "IRONPOST_ALERTS"), "bus", "3 stored messages of IRONPOST_ALERTS are gone"},
		"the whole bus":           {gone("data/bus"), "bus", "3 stored messages of IRONPOST_ALERTS are gone"},
		"the blocklist":           {gone(streamsFolder + "KV_ironpost_blocklist/msgs/1.blk"), "bus", "1 entries of the bucket ironpost_blocklist were gone and were written back"},
		"the checkpoint":          {gone("data/log-pipeline/checkpoint.json"), bus.LogPipeline, "log-pipeline/checkpoint.json is gone: lines may have been skipped, how many is unknown"},
		"the machine's id":        {changed("data/machine-id"), "bus", "the id was written back"},
		"the manifest":            {changed("data/manifest.json"), "bus", "the manifest was damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := install(t, "")
			i.configure(i.logsOn())
			i.startTimes(1)
			storeAlertsAndABlock(t, i, 3)
			id, err := os.ReadFile(i.dir + "/data/machine-id")
			require.NoError(t, err)
			require.Zero(t, i.stop(), i.stderr.String())
			tc.damage(t, i)
			for n := range 2 {
				i.startTimes(n + 2)
				require.Eventually(t, func() bool { return strings.Contains(reasonsOf(i, tc.module), tc.says) }, patience, 20*time.Millisecond, "%+v", i.health())
				require.Equal(t, 1, countBlocks(t, i), "blocks hold")
				same, err := os.ReadFile(i.dir + "/data/machine-id")
				require.NoError(t, err)
				require.Equal(t, string(id), string(same))
				require.Zero(t, i.stop(), i.stderr.String())
			}
		})
	}
}

// What was not damaged is not said to be.
func TestNoLossIsToldOfAWholeFolder(t *testing.T) {
	t.Parallel()
	i := install(t, "")
	i.configure(i.logsOn())
	for n := range 3 {
		i.startTimes(n + 1)
		storeAlertsAndABlock(t, i, uint64(3*n+3))
		require.NotContains(t, reasonsOf(i, "bus"), "found at")
		require.Empty(t, reasonsOf(i, bus.LogPipeline))
		require.Zero(t, i.stop(), i.stderr.String())
	}
}

// A manifest that is older than the streams, as after a daemon without one, says nothing about them: their durables go on where they are.
func TestOldManifestIsNotCompared(t *testing.T) {
	t.Parallel()
	i := install(t, "")
	i.configure(i.logsOn())
	manifest := i.dir + "/data/manifest.json"
	i.startTimes(1)
	storeAlertsAndABlock(t, i, 3)
	require.Zero(t, i.stop(), i.stderr.String())
	old, err := os.ReadFile(manifest)
	require.NoError(t, err)
	i.startTimes(2)
	storeAlertsAndABlock(t, i, 6)
	require.Zero(t, i.stop(), i.stderr.String())

	require.NoError(t, os.WriteFile(manifest, old, 0o600))
	states, err := filepath.Glob(filepath.Join(i.dir, streamsFolder, "*", "msgs", "index.db"))
	require.NoError(t, err)
	require.NotEmpty(t, states)
	later := time.Now().Add(time.Hour)
	for _, state := range states {
		require.NoError(t, os.Chtimes(state, later, later))
	}
	i.startTimes(3)
	reasons := reasonsOf(i, "bus")
	require.Contains(t, reasons, "as by an older version: what was lost before this start is unknown")
	require.Equal(t, 1, strings.Count(reasons, "found at"), "%s", reasons)
	require.NoDirExists(t, i.dir+"/data/bus/set-aside")
	require.Zero(t, i.stop(), i.stderr.String())
}

// startTimes starts the daemon for the nth time.
func (i *instance) startTimes(n int) {
	i.t.Helper()
	go func() { i.exit <- i.process().Run(i.t.Context()) }()
	require.Eventually(i.t, func() bool { return strings.Count(i.stderr.String(), `"msg":"ready"`) == n }, 4*patience, 20*time.Millisecond, "%s", &i.stderr)
}

// storeAlertsAndABlock causes three alerts, until total are stored.
func storeAlertsAndABlock(t *testing.T, i *instance, total uint64) {
	t.Helper()
	operator, err := bus.DialSocket(t.Context(), i.dir+"/bus.sock")
	require.NoError(t, err)
	defer func() { require.NoError(t, operator.Close(t.Context())) }()
	list, err := operator.Blocklist(t.Context())
	require.NoError(t, err)
	now := time.Now()
	err = list.Put(t.Context(), bus.Block{Prefix: netip.MustParsePrefix("203.0.113.9/32"), Expires: now.Add(time.Hour), Created: now, Source: "operator"})
	require.NoError(t, err)
	log, err := os.OpenFile(i.dir+"/app.log", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	for n := range 3 {
		_, err := fmt.Fprintf(log, "%s web-1 sudo:  user%d-%d : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/bash\n", now.Format(time.Stamp), total, n)
		require.NoError(t, err)
	}
	require.NoError(t, log.Close())
	require.Eventually(t, func() bool { return stored(t, operator, bus.Alerts) >= total }, patience, 20*time.Millisecond)
}

func countBlocks(t *testing.T, i *instance) int {
	t.Helper()
	operator, err := bus.DialSocket(t.Context(), i.dir+"/bus.sock")
	require.NoError(t, err)
	defer func() { require.NoError(t, operator.Close(t.Context())) }()
	list, err := operator.Blocklist(t.Context())
	require.NoError(t, err)
	blocks, _, err := list.List(t.Context())
	require.NoError(t, err)
	return len(blocks)
}

func reasonsOf(i *instance, module string) string {
	for _, m := range i.health().Modules {
		if m.Name == module {
			return strings.Join(m.Reasons, "\n")
		}
	}
	return ""
}

func gone(path string) func(*testing.T, *instance) {
	return func(t *testing.T, i *instance) { require.NoError(t, os.RemoveAll(filepath.Join(i.dir, path))) }
}

func flipped(path string) func(*testing.T, *instance) {
	return func(t *testing.T, i *instance) {
		b, err := os.ReadFile(filepath.Join(i.dir, path))
		require.NoError(t, err)
		b[len(b)/2] ^= 1
		require.NoError(t, os.WriteFile(filepath.Join(i.dir, path), b, 0o600))
	}
}

// changed changes one byte in the middle, so that hex digits stay hex digits.
func changed(path string) func(*testing.T, *instance) {
	return func(t *testing.T, i *instance) {
		b, err := os.ReadFile(filepath.Join(i.dir, path))
		require.NoError(t, err)
		at := len(b) / 2
		b[at] = "10"[b[at]&1]
		require.NoError(t, os.WriteFile(filepath.Join(i.dir, path), b, 0o600))
	}
}
