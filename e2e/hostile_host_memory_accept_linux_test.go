//go:build accept && linux

package e2e_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A daemon that a control group limits to 128 MB survives a flood of 50,000 entities, and the alert of each comes.
func TestAcceptHostileHostMemory(t *testing.T) {
	const entities, limit = 50_000, 128 << 20
	group := limitedGroup(t, limit)
	s := newInstance(t)
	s.wrap = []string{"sh", "-c", `echo $$ > "$0/cgroup.procs"; exec "$@"`, group}
	s.start()
	require.Contains(t, s.log.String(), `"memory is limited by the control group"`)

	var most int64
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(50 * time.Millisecond):
				most = max(most, statOf(group, "memory.stat", "total_rss"))
			}
		}
	})
	began := time.Now()
	s.append(usersLines(entities))
	s.eventually(func() bool { return s.counter("log-pipeline", "alerts") >= entities || s.daemon.ProcessState != nil })
	took := time.Since(began)
	found := s.allFirstAlerts()
	s.append([]byte(rootShell("after")))
	began = time.Now()
	s.eventually(func() bool { return s.counter("log-pipeline", "alerts") > entities })
	after := time.Since(began)
	close(done)
	watching.Wait()
	killed := statOf(group, "memory.oom_control", "oom_kill")
	t.Logf("%d entities in %d MB: alerts %d (bar all), doubled %d (bar 0), %.0f/s; killed for memory %d (bar 0); most anonymous memory %.0f MB; the next alert after %.1f s",
		entities, limit>>20, len(found.users), found.doubled, entities/took.Seconds(), killed, float64(most)/(1<<20), after.Seconds())
	require.Len(t, found.users, entities)
	require.Zero(t, found.doubled)
	require.Zero(t, killed)
}

// limitedGroup makes a control group of version 1 with a limit of memory, and removes it when the test ends.
func limitedGroup(t *testing.T, bytes int64) string {
	t.Helper()
	group := fmt.Sprintf("/sys/fs/cgroup/memory/ironpost-test-process-%d", os.Getpid())
	require.NoError(t, os.Mkdir(group, 0o755))
	t.Cleanup(func() {
		require.Eventually(t, func() bool { // its processes have just ended
			err := unix.Rmdir(group)
			return err == nil || errors.Is(err, fs.ErrNotExist)
		}, waitLimit, 100*time.Millisecond)
	})
	require.NoError(t, os.WriteFile(filepath.Join(group, "memory.limit_in_bytes"), []byte(strconv.FormatInt(bytes, 10)), 0o600))
	return group
}

// statOf returns a number of a file of a control group, -1 if it is not there.
func statOf(group, file, name string) int64 {
	text, err := os.ReadFile(filepath.Join(group, file))
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(strings.TrimSpace(line), name+" "); found {
			if n, err := strconv.ParseInt(value, 10, 64); err == nil {
				return n
			}
		}
	}
	return -1
}
