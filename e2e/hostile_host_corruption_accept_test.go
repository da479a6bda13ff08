//go:build accept

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
)

const (
	corruptedAlerts = 40 // stored before the damage
	corruptedLines  = 5  // written while the daemon is down
	corruptedBlocks = 3
	toldWithin      = 30 * time.Second
)

// The data folder is damaged at random while the daemon is down, after a stop or a crash. It starts, and whatever is missing of the
// alerts, lines and blocks that were there is named in its status. IRONPOST_TEST_CORRUPTIONS is how many, IRONPOST_TEST_SEED
// repeats a run.
func TestAcceptHostileHostCorruption(t *testing.T) {
	runs, seed, workers := numberFrom(t, "IRONPOST_TEST_CORRUPTIONS", 1000), numberFrom(t, "IRONPOST_TEST_SEED", uint64(time.Now().UnixNano())), uint64(3)
	t.Logf("seed %d, %d corruptions", seed, runs)
	var next, harmless, named atomic.Uint64
	t.Run("workers", func(t *testing.T) {
		for w := range workers {
			t.Run(strconv.Itoa(int(w)), func(t *testing.T) {
				t.Parallel()
				c := newCorrupted(t)
				for n := next.Add(1) - 1; n < runs; n = next.Add(1) - 1 {
					verdict, what := c.run(rand.New(rand.NewPCG(seed, n)), n)
					switch verdict {
					case "harmless":
						harmless.Add(1)
					case "named":
						named.Add(1)
					default:
						t.Errorf("corruption %d of seed %d, %s: %s", n, seed, what, verdict)
					}
				}
			})
		}
	})
	t.Logf("%d of %d corruptions were harmless, %d named in status (bar: all within %v), 0 losses are silent unless named above", harmless.Load(), runs, named.Load(), toldWithin)
	require.Equal(t, runs, harmless.Load()+named.Load())
}

func numberFrom(t *testing.T, variable string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	require.NoError(t, err)
	return n
}

// corrupted is a daemon whose data folder is put back, damaged, before each start.
type corrupted struct {
	*instance
	ids     []string // of the alerts that are stored
	watched string   // what the watched file holds, up to which it was read
}

func newCorrupted(t *testing.T) *corrupted {
	t.Helper()
	c := &corrupted{instance: newInstance(t)}
	c.write("ironpost.toml", fmt.Sprintf(`
[general]
host = "stage"
data_dir = %[1]q
pid_file = %[2]q
[bus]
socket = %[3]q
observer = false
[metrics]
enabled = false
[container]
enabled = true
policy_path = %[4]q
docker_socket = %[5]q
[log_pipeline]
sources = ["file"]
watch_paths = [%[6]q]
checkpoint_interval_secs = 1
`, c.path("data"), c.path("pid"), c.path("bus.sock"), c.path("policies"), c.path("no-docker.sock"), c.path("auth.log")))
	require.NoError(t, os.Mkdir(c.path("policies"), 0o700))
	c.start()
	conn := c.dial()
	list, err := conn.Blocklist(t.Context())
	require.NoError(t, err)
	now := time.Now()
	for n := range corruptedBlocks {
		require.NoError(t, list.Put(t.Context(), bus.Block{
			Prefix: netip.MustParsePrefix(fmt.Sprintf("203.0.113.%d/32", n)), Expires: now.Add(24 * time.Hour), Created: now, Source: "operator",
		}))
	}
	for n := range corruptedAlerts {
		c.append([]byte(rootShell(fmt.Sprintf("before%d", n))))
	}
	c.eventually(func() bool { return c.checkpointed() == corruptedAlerts })
	for _, a := range c.storedAlerts(conn) {
		c.ids = append(c.ids, a.ID)
	}
	require.Len(t, c.ids, corruptedAlerts)
	require.NoError(t, conn.Close(t.Context()))
	c.eventually(func() bool { // the manifest is written within two seconds
		text, err := os.ReadFile(c.path("data/manifest.json"))
		return err == nil && strings.Contains(string(text), fmt.Sprintf(`"last":%d,"messages":%[1]d`, corruptedAlerts)) &&
			strings.Contains(string(text), fmt.Sprintf(`"done":%d,`, corruptedAlerts)) && strings.Contains(string(text), `checkpoint.json`)
	})
	c.kill()
	c.copyFolder("data", "after-kill")
	c.start()
	require.Zero(t, c.stop(syscall.SIGTERM))
	c.copyFolder("data", "after-stop")
	whole, err := os.ReadFile(c.path("auth.log"))
	require.NoError(t, err)
	c.watched = string(whole)
	return c
}

func (c *corrupted) copyFolder(from, to string) {
	c.t.Helper()
	require.NoError(c.t, os.RemoveAll(c.path(to)))
	out, err := exec.Command("cp", "-a", c.path(from), c.path(to)).CombinedOutput()
	require.NoError(c.t, err, "%s", out)
}

func (c *corrupted) dial() *bus.Conn {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), waitLimit)
	defer cancel()
	conn, err := bus.DialSocket(ctx, c.path("bus.sock"))
	require.NoError(c.t, err)
	return conn
}

func (c *corrupted) storedAlerts(conn *bus.Conn) []event.Alert {
	c.t.Helper()
	var out []event.Alert
	require.NoError(c.t, conn.History(c.t.Context(), bus.Alerts, bus.HistoryOptions{}, func(d bus.Delivery) bool {
		var a event.Alert
		if event.Decode(d.Data, &a) == nil && !a.Update {
			out = append(out, a)
		}
		return true
	}))
	return out
}

// run damages the folder and starts the daemon. The verdict is "harmless", "named", or what is wrong.
func (c *corrupted) run(random *rand.Rand, n uint64) (verdict, what string) {
	template := []string{"after-kill", "after-stop"}[random.IntN(2)]
	c.copyFolder(template, "data")
	lines := c.watched
	for k := range corruptedLines {
		lines += rootShell(fmt.Sprintf("down%d-%d", n, k))
	}
	// In place, so that it is the file that was read.
	require.NoError(c.t, os.WriteFile(c.path("auth.log"), []byte(lines), 0o600))
	what = template + ": " + c.damage(random)

	c.instance.log = &testenv.Buffer{}
	daemon := exec.Command("nice", "-n", "19", filepath.Join(c.bin, "ironpost-daemon"), "-c", c.path("ironpost.toml"))
	daemon.Stderr = c.instance.log
	require.NoError(c.t, daemon.Start())
	exited := make(chan error, 1)
	go func() { exited <- daemon.Wait() }()
	defer func() {
		_ = daemon.Process.Kill()
		<-exited
	}()
	deadline := time.Now().Add(waitLimit)
	for !strings.Contains(c.instance.log.String(), `"ready"`) {
		select {
		case err := <-exited:
			exited <- err
			return fmt.Sprintf("the daemon ended: %v: %s", err, lastLine(c.instance.log.String())), what
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return "the daemon was not ready", what
		}
	}
	conn := c.dial()
	defer func() { _ = conn.Close(c.t.Context()) }()
	return c.judge(conn, n), what
}

// judge waits until nothing is missing, or what is missing is named.
func (c *corrupted) judge(conn *bus.Conn, n uint64) string {
	var unnamed []string
	for until := time.Now().Add(toldWithin); time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
		reasons, told := c.reasons(conn), false
		unnamed = nil
		for _, m := range c.missing(conn, n) {
			if slices.ContainsFunc(m.names, func(name string) bool { return strings.Contains(reasons, name) }) {
				told = true
				continue
			}
			unnamed = append(unnamed, m.what)
		}
		if len(unnamed) == 0 && told {
			return "named"
		}
		if len(unnamed) == 0 {
			return "harmless"
		}
	}
	return "silent: " + strings.Join(unnamed, ", ") + "; status says: " + c.reasons(conn)
}

// missed is something that was there and is not, and what names it in status.
type missed struct {
	what  string
	names []string
}

func (c *corrupted) missing(conn *bus.Conn, n uint64) (out []missed) {
	stored := map[string]bool{}
	again := map[string]int{}
	for _, a := range c.storedAlerts(conn) {
		stored[a.ID] = true
		again[a.User]++
	}
	gone := len(slices.DeleteFunc(slices.Clone(c.ids), func(id string) bool { return stored[id] }))
	if gone > 0 {
		out = append(out, missed{fmt.Sprintf("%d stored alerts", gone), []string{string(bus.Alerts)}})
	}
	late := 0
	for k := range corruptedLines {
		if again[fmt.Sprintf("down%d-%d", n, k)] == 0 {
			late++
		}
	}
	if late > 0 {
		out = append(out, missed{fmt.Sprintf("%d lines", late), []string{"checkpoint", "positions"}})
	}
	list, err := conn.Blocklist(c.t.Context())
	require.NoError(c.t, err)
	blocks, _, err := list.List(c.t.Context())
	require.NoError(c.t, err)
	if len(blocks) < corruptedBlocks {
		out = append(out, missed{fmt.Sprintf("%d blocks", corruptedBlocks-len(blocks)), []string{bus.BlocklistBucket}})
	}
	for user, times := range again {
		if times > 1 {
			out = append(out, missed{fmt.Sprintf("%s is told %d times", user, times), []string{"checkpoint", string(bus.Alerts), "machine-id"}})
			break
		}
	}
	return out
}

func (c *corrupted) reasons(conn *bus.Conn) string {
	var health event.DaemonHealth
	if err := conn.Request(c.t.Context(), bus.VerbSubject(bus.Daemon, "stage", "status"), nil, &health); err != nil {
		return "no status: " + err.Error()
	}
	var all []string
	for _, m := range health.Modules {
		all = append(all, m.Reasons...)
	}
	return strings.Join(all, "\n")
}

// damage damages one to three files of the data folder, or the manifest alone: what remembers and what it remembers are not
// damaged together. It returns what it did.
func (c *corrupted) damage(random *rand.Rand) string {
	if random.IntN(20) == 0 {
		return c.damageFile(random, "manifest.json", nil)
	}
	var files []string
	require.NoError(c.t, filepath.WalkDir(c.path("data"), func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(c.path("data"), path)
		if err == nil && d.Type().IsRegular() && name != "manifest.json" && !strings.Contains(name, ".reserved-") && d.Name() != "lock" {
			files = append(files, name)
		}
		return err
	}))
	var did []string
	for range 1 + random.IntN(3) {
		did = append(did, c.damageFile(random, files[random.IntN(len(files))], files))
	}
	return strings.Join(did, "; ")
}

// damageFile damages the file called name in the data folder.
func (c *corrupted) damageFile(random *rand.Rand, name string, others []string) string {
	path := filepath.Join(c.path("data"), name)
	whole, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return name + " is gone already"
	}
	require.NoError(c.t, err)
	kind := random.IntN(6)
	switch {
	case kind == 0 && len(whole) > 0:
		cut := random.IntN(len(whole))
		require.NoError(c.t, os.WriteFile(path, whole[:cut], 0o600))
		return fmt.Sprintf("%s cut to %d of %d bytes", name, cut, len(whole))
	case kind == 1 && len(whole) > 0:
		n := 1 + random.IntN(16)
		for range n {
			whole[random.IntN(len(whole))] ^= 1 << random.IntN(8)
		}
		require.NoError(c.t, os.WriteFile(path, whole, 0o600))
		return fmt.Sprintf("%d bits of %s flipped", n, name)
	case kind == 2 && others != nil:
		other := filepath.Join(c.path("data"), others[random.IntN(len(others))])
		theirs, err := os.ReadFile(other)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		require.NoError(c.t, err)
		require.NoError(c.t, os.WriteFile(path, theirs, 0o600))
		require.NoError(c.t, os.WriteFile(other, whole, 0o600))
		return name + " swapped with " + strings.TrimPrefix(other, c.path("data/"))
	case kind == 3 && others != nil && strings.Count(name, "/") > 1:
		require.NoError(c.t, os.RemoveAll(filepath.Dir(path)))
		return "the folder of " + name + " deleted"
	case kind == 4:
		garbage := make([]byte, random.IntN(max(2*len(whole), 64)))
		for i := range garbage {
			garbage[i] = byte(random.Uint32())
		}
		require.NoError(c.t, os.WriteFile(path, garbage, 0o600))
		return fmt.Sprintf("%s is %d bytes of garbage", name, len(garbage))
	}
	require.NoError(c.t, os.Remove(path))
	return name + " deleted"
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
