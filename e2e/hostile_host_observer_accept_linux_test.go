//go:build accept && linux

package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
)

// observerAttack is one of testdata/observerattack, and what status tells of it; nothing of one that is bounded only.
type observerAttack struct {
	name string
	told *regexp.Regexp
}

var observerAttacks = []observerAttack{
	{"subscriptions", regexp.MustCompile(`uid 65534 \([1-9]\d* connections, [1-9]\d* for subscriptions`)},
	{"replies", regexp.MustCompile(`uid 65534 .* [1-9]\d* for what they sent`)},
	{"slow", nil}, {"big", nil}, {"connects", nil},
}

// hostileObserver is the user nobody at the observers' port of an instance.
type hostileObserver struct {
	*instance
	program string
	alerts  chan time.Time // when an operator saw each
	lines   int            // given so far
	nice    int            // of what nobody runs
}

func newHostileObserver(t *testing.T) *hostileObserver {
	t.Helper()
	s := newInstance(t)
	o := &hostileObserver{instance: s, program: filepath.Join(s.bin, "observerattack"), alerts: make(chan time.Time, 1), nice: 19}
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", o.program, "./testdata/observerattack").CombinedOutput()
	require.NoError(t, err, string(out))
	require.NoError(t, os.Chmod(s.bin, 0o755)) // nobody may run what is there
	s.start()
	return o
}

// run starts the program as nobody. At the lowest priority, what counts is what the daemon does because of it; any user can keep a processor busy.
func (o *hostileObserver) run(args ...string) (output *bufio.Reader, stop func()) {
	o.t.Helper()
	cmd := asNobody(o.t, `exec nice -n "$@"`, append([]string{strconv.Itoa(o.nice), o.program, o.observer}, args...)...)
	in, err := cmd.StdinPipe()
	require.NoError(o.t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(o.t, err)
	require.NoError(o.t, cmd.Start())
	o.t.Cleanup(func() { _ = cmd.Process.Kill() })
	return bufio.NewReader(out), func() { _ = in.Close() }
}

// attack runs attacks until stop is called, which returns how many connections they made.
func (o *hostileObserver) attack(names ...string) (stop func() int) {
	o.t.Helper()
	out, end := o.run(names...)
	return func() int {
		end()
		line, err := out.ReadString('\n')
		require.NoError(o.t, err)
		made, err := strconv.Atoi(strings.TrimSpace(line))
		require.NoError(o.t, err)
		return made
	}
}

// told waits until status tells of an attack, and returns how.
func (o *hostileObserver) told(pattern *regexp.Regexp) (reason string) {
	o.t.Helper()
	o.eventually(func() bool {
		out, _ := o.operatorCommand("status", "--json").Output() // the exit code depends on the health
		var status struct {
			Modules []struct {
				Name    string   `json:"name"`
				Reasons []string `json:"reasons"`
			} `json:"modules"`
		}
		require.NoError(o.t, json.Unmarshal(out, &status), "%s", out)
		for _, m := range status.Modules {
			if i := slices.IndexFunc(m.Reasons, pattern.MatchString); m.Name == "bus" && i >= 0 {
				reason = m.Reasons[i]
			}
		}
		return reason != ""
	})
	return reason
}

// clients returns how many connections observers have now.
func (o *hostileObserver) clients() int {
	o.t.Helper()
	resp, err := http.Get("http://" + o.metrics + "/metrics")
	require.NoError(o.t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(o.t, err)
	found := regexp.MustCompile(`ironpost_bus_clients\{listener="observer"\} (\d+)`).FindSubmatch(text)
	require.NotNil(o.t, found)
	n, err := strconv.Atoi(string(found[1]))
	require.NoError(o.t, err)
	return n
}

// latencies writes lines one after the other and returns how long each took to its alert.
func (o *hostileObserver) latencies(lines int) (took []time.Duration) {
	o.t.Helper()
	for range lines {
		o.lines++
		began := time.Now()
		o.append([]byte(rootShell(fmt.Sprintf("user%06d", o.lines))))
		select {
		case at := <-o.alerts:
			took = append(took, at.Sub(began))
		case <-time.After(waitLimit):
			require.FailNow(o.t, "no alert", "after %d lines", o.lines)
		}
	}
	return took
}

// follow has an operator watch the alerts until the test ends. It returns when that sees them, with their evidence.
func (o *hostileObserver) follow() {
	o.t.Helper()
	operator, err := bus.DialSocket(o.t.Context(), o.path("bus.sock"))
	require.NoError(o.t, err)
	ctx, cancel := context.WithCancel(o.t.Context())
	evidence, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		ended <- operator.Follow(ctx, bus.RepublishedAlerts, func(_ string, _ map[string][]string, data []byte) {
			switch text := string(data); {
			case strings.Contains(text, "user000000"):
				require.Contains(o.t, text, "TTY=pts/0")
				select {
				case evidence <- struct{}{}:
				default:
				}
			case !strings.Contains(text, `"update":true`):
				o.alerts <- time.Now()
			}
		})
	}()
	o.t.Cleanup(func() {
		cancel()
		require.NoError(o.t, <-ended)
		require.NoError(o.t, operator.Close(context.WithoutCancel(ctx)))
	})
	for n := 0; ; n++ { // the subscription holds from some moment on
		o.append([]byte(rootShell(fmt.Sprintf("user000000-%d", n))))
		select {
		case <-evidence:
			return
		case <-time.After(time.Second):
		}
	}
}

// Fault 3: what nobody does at the observers' port is refused or bounded, told within 5 s, delays no alert, and shows no text of a log.
func TestAcceptHostileHostObserver(t *testing.T) {
	const (
		told   = 5 * time.Second
		rounds = 5
		lines  = 200
	)
	o := newHostileObserver(t)
	o.follow()
	o.watchesNoEvidence()
	var all []string
	for _, a := range observerAttacks {
		all = append(all, a.name)
		stop := o.attack(a.name)
		began, reason := time.Now(), "bounded"
		if a.told != nil {
			reason = o.told(a.told)
		}
		took := time.Since(began)
		o.latencies(lines)
		clients := o.clients()
		t.Logf("%s: %d connections made, %d at a time (bar 64), told after %.1f s (bar 5): %s", a.name, stop(), clients, took.Seconds(), reason)
		require.LessOrEqual(t, clients, 64)
		require.Less(t, took, told)
	}
	var calm, attacked, beside []time.Duration // beside attacks at the daemon's own priority
	var most resident
	made := 0
	for range rounds {
		calm = append(calm, o.latencies(lines)...)
		stop := o.attack(all...)
		attacked = append(attacked, o.latencies(lines)...)
		most = larger(most, o.resident())
		made += stop()
		o.nice = 0
		stop = o.attack(all...)
		beside = append(beside, o.latencies(lines)...)
		stop()
		o.nice = 19
	}
	t.Logf("at the priority of the daemon, where nobody's own work takes its share of %d processors, too: %s: p99 %.2f times (no bar)",
		runtime.NumCPU(), summary(beside), float64(percentile(beside, 0.99))/float64(percentile(calm, 0.99)))
	ratio := float64(percentile(attacked, 0.99)) / float64(percentile(calm, 0.99))
	t.Logf("line to alert, in turn: undisturbed %s; under all attacks together (%d connections of nobody) %s: p99 %.2f times (bar 2); resident at most %v",
		summary(calm), made, summary(attacked), ratio, most)
	require.LessOrEqual(t, ratio, 2.0)
	o.eventually(func() bool { return o.clients() == 0 })
}

// watchesNoEvidence has nobody watch while an alert comes.
func (o *hostileObserver) watchesNoEvidence() {
	o.t.Helper()
	out, stop := o.run("watch")
	defer stop()
	read := func(until string) (text string) {
		for !strings.Contains(text, until) {
			line, err := out.ReadString('\n')
			require.NoError(o.t, err)
			text += line
		}
		return text
	}
	read("PONG")
	o.latencies(1)
	seen := read(`"rule"`)
	for _, text := range []string{"TTY=", "COMMAND", "user0", "evidence", "matched"} {
		require.NotContains(o.t, seen, text)
	}
	o.t.Logf("an observer sees %d bytes of an alert, and 0 of its evidence (bar 0)", len(seen))
}
