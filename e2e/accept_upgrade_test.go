//go:build accept

package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
)

// A daemon of an earlier commit stores alerts, actions, a checkpoint, a blocklist, the guard's state and an audit trail, and is killed under
// load. Today's opens them and goes on: every line has one alert, no id is stored twice, blocks stay, and the trail is intact.
func TestAcceptUpgradeOpensAnEarlierStore(t *testing.T) {
	for _, earlier := range []struct {
		commit  string
		sameIDs bool // it made the ids of actions as today: an alert that is delivered again after the kill is not answered again
	}{
		{"1341671", false}, // before PostgreSQL and remote modules
		{"e29f522", true},  // before tables of version 2
	} {
		t.Run(earlier.commit, func(t *testing.T) { upgradeFrom(t, earlier.commit, earlier.sameIDs) })
	}
}

func upgradeFrom(t *testing.T, commit string, sameIDs bool) {
	t.Helper()
	s := newInstance(t)
	s.write("policies.toml", "[[policy]]\nid = \"p\"\nactions = [\"block-source\"]\nblock_ttl = \"1h\"\ncooldown = \"0s\"\nmatch.severity = \"medium\"\n")
	s.appendConfig(fmt.Sprintf("[container]\nenabled = true\nauto_isolate = true\ndocker_socket = %q\npolicy_path = %q\n", s.path("no-docker.sock"), s.path("policies.toml")))
	today := s.bin
	s.bin = buildEarlier(t, commit)
	s.start()
	s.ironpost("blocklist", "add", "198.51.100.250", "--for", "12h", "--reason", "before the update")
	tcp := map[string]bool{}
	w := s.startLoad(2 * time.Millisecond)
	for host := 1; host <= 20; host++ {
		s.append([]byte(strings.Repeat(failedLogin(host), 30)))
	}
	s.eventually(func() bool { return len(s.actions()) >= 10 })
	for range 5 {
		time.Sleep(time.Duration(200+rand.IntN(800)) * time.Millisecond)
		s.kill()
		s.addSpooledUsers(tcp)
		s.start()
	}
	time.Sleep(time.Second) // the load goes on
	actions, blocks := s.actions(), s.ironpost("blocklist", "list")
	require.Contains(t, blocks, "198.51.100.250")
	s.kill()
	s.addSpooledUsers(tcp)

	s.bin = today
	began := time.Now()
	s.start()
	t.Logf("store of %s opened: ready after %v", commit, time.Since(began).Round(time.Millisecond))
	for host := 21; host <= 30; host++ {
		s.append([]byte(strings.Repeat(failedLogin(host), 30)))
	}
	time.Sleep(2 * time.Second) // the load goes on
	w.stop()
	s.waitForLastAlert(w)
	s.addSpooledUsers(tcp)
	s.requireEveryLineOnce(w, tcp)
	require.Contains(t, s.ironpost("blocklist", "list"), "198.51.100.250")

	after, steps, doubled := s.actions(), map[string]int{}, 0
	for _, a := range after {
		step := fmt.Sprint(a.AlertID, a.Policy, a.Kind, a.Phase)
		if steps[step]++; steps[step] > 1 {
			doubled++
		}
	}
	lost := 0
	for id := range actions {
		if _, ok := after[id]; !ok {
			lost++
		}
	}
	t.Logf("%d actions before, %d after: lost %d (bar 0), alerts answered twice %d", len(actions), len(after), lost, doubled)
	require.Zero(t, lost)
	if sameIDs {
		require.Zero(t, doubled)
	}
	require.Greater(t, len(after), len(actions), "the guard goes on")
	s.eventually(func() bool { return s.counter(bus.ActionCollector, "trail_head") >= uint64(len(s.actions())) })
	s.requireIntactTrail()
}

// failedLogin returns a line of sshd about a wrong password from one address.
func failedLogin(host int) string {
	return fmt.Sprintf("%s web-1 sshd[4711]: Failed password for root from 203.0.113.%d port 40022 ssh2\n", time.Now().Format(time.Stamp), host)
}

// buildEarlier builds the commands of a commit and returns their folder.
func buildEarlier(t *testing.T, commit string) string {
	t.Helper()
	dir := t.TempDir()
	archive := exec.CommandContext(t.Context(), "sh", "-c", `git -C .. archive "$1" | tar -x -C "$2"`, "sh", commit, dir)
	out, err := archive.CombinedOutput()
	require.NoError(t, err, string(out))
	bin := filepath.Join(dir, "earlier-bin")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin+"/", "./cmd/ironpost", "./cmd/ironpost-daemon")
	build.Dir, build.Env = dir, append(os.Environ(), "GOWORK=off")
	out, err = build.CombinedOutput()
	require.NoError(t, err, string(out))
	return bin
}
