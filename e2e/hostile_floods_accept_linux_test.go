//go:build accept && linux

package e2e_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/testenv"
)

const (
	quietInterval = time.Second // between two lines of a quiet source
	quietBar      = time.Second // p99 of a quiet line to its stored alert
	bareTime      = 5 * time.Second
	floodTime     = 60 * time.Second // of one part, less with IRONPOST_TEST_FLOOD_SECS
)

// quietSources are 20 sources, of which each writes a line now and then that is an alert: 7 files, 6 syslog senders over TCP
// and 7 containers.
type quietSources struct {
	*instance
	engine *testenv.Docker

	mu      sync.Mutex
	written map[string]time.Time // by user, while its alert is not there
	delays  []time.Duration
	slowest map[string]time.Duration // by user
}

// newQuietSources starts a daemon that reads them, and a dockerd.
func newQuietSources(t *testing.T) *quietSources {
	t.Helper()
	q := &quietSources{instance: newInstance(t), engine: testenv.Dockerd(t), written: map[string]time.Time{}, slowest: map[string]time.Duration{}}
	q.replace(fmt.Sprintf("watch_paths = [%q]", q.path("auth.log")), fmt.Sprintf("watch_paths = [%q]", q.path("quiet/*.log")))
	q.replace(`sources = ["syslog", "file"]`, `sources = ["file", "syslog", "docker"]`)
	q.appendConfig(fmt.Sprintf("[container]\ndocker_socket = %q\n", q.engine.Socket))
	for i := range 7 {
		q.write(fmt.Sprintf("quiet/%d.log", i), "")
	}
	q.start()
	conn, err := bus.DialSocket(t.Context(), q.path("bus.sock"))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- conn.Follow(ctx, bus.RepublishedAlerts, q.arrived) }()
	t.Cleanup(func() {
		cancel()
		<-done
		_ = conn.Close(context.WithoutCancel(ctx))
	})
	return q
}

// arrived records how long an alert of a quiet source took from when its line was written; of a container, from when Docker received
// it.
func (q *quietSources) arrived(_ string, _ map[string][]string, data []byte) {
	var a event.Alert
	if event.Decode(data, &a) != nil || a.Update {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	began, written := q.written[a.User]
	switch {
	case written:
		delete(q.written, a.User)
	case strings.HasPrefix(a.User, "quietc"):
		began = a.Received
	default:
		return
	}
	q.delays = append(q.delays, time.Since(began))
	q.slowest[a.User] = time.Since(began)
	if len(q.slowest) > 5 {
		fastest := slices.MinFunc(slices.Collect(maps.Keys(q.slowest)), func(a, b string) int { return cmp.Compare(q.slowest[a], q.slowest[b]) })
		delete(q.slowest, fastest)
	}
}

// run runs the quiet sources until ctx ends.
func (q *quietSources) run(ctx context.Context) {
	t := q.t
	var wg sync.WaitGroup
	every := func(name string, write func(line string) error) {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				user := fmt.Sprintf("quiet%s%d", name, i)
				q.mu.Lock()
				q.written[user] = time.Now()
				q.mu.Unlock()
				if err := write(rootShell(user)); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-ctx.Done():
				case <-time.After(quietInterval):
				}
			}
		})
	}
	for i := range 7 {
		f, err := os.OpenFile(q.path(fmt.Sprintf("quiet/%d.log", i)), os.O_APPEND|os.O_WRONLY, 0)
		require.NoError(t, err)
		t.Cleanup(func() { _ = f.Close() })
		every(fmt.Sprintf("f%dx", i), func(line string) error { _, err := f.WriteString(line); return err })
	}
	for i := range 6 {
		conn := q.dialSyslog(fmt.Sprintf("127.0.1.%d", i+1))
		every(fmt.Sprintf("s%dx", i), func(line string) error { _, err := conn.Write([]byte("<38>" + line)); return err })
	}
	for i := range 7 {
		q.container(fmt.Sprintf("quiet%d", i), fmt.Sprintf(`sleep 3; i=0; while true; do i=$((i+1)); echo "%s"; sleep %v; done`,
			strings.TrimSpace(rootShell(fmt.Sprintf("quietc%dx$i", i))), quietInterval.Seconds()))
	}
	wg.Wait()
}

func (q *quietSources) dialSyslog(from string) net.Conn {
	conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).Dial("tcp", q.syslog)
	require.NoError(q.t, err)
	q.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (q *quietSources) container(name, script string) {
	q.engine.Run(q.t, testenv.ContainerOptions{Name: name, Cmd: []string{"/bin/sh", "-c", script}})
}

func floodDuration() time.Duration {
	if secs, err := strconv.Atoi(os.Getenv("IRONPOST_TEST_FLOOD_SECS")); err == nil {
		return time.Duration(secs) * time.Second
	}
	return floodTime
}

// finish waits until every line of a file or sender is an alert, and requires the bar.
func (q *quietSources) finish(what string) {
	q.t.Helper()
	left := func() []string {
		q.mu.Lock()
		defer q.mu.Unlock()
		return slices.Sorted(maps.Keys(q.written))
	}
	for until := time.Now().Add(waitLimit); len(left()) > 0 && time.Now().Before(until); {
		time.Sleep(100 * time.Millisecond)
	}
	require.Empty(q.t, left(), "lines without an alert")
	q.t.Logf("%s: quiet line → alert: %s (bar: p99 ≤ %v)", what, summary(q.delays), quietBar)
	q.t.Logf("the slowest: %v", q.slowest)
	require.LessOrEqual(q.t, percentile(q.delays, 0.99), quietBar)
}

// bareRate returns how many lines/s of the output of script dockerd delivers to a client that only counts them.
func (q *quietSources) bareRate(script string) float64 {
	client, err := docker.Connect(q.engine.Socket)
	require.NoError(q.t, err)
	defer client.Close()
	id := q.engine.Run(q.t, testenv.ContainerOptions{Cmd: []string{"/bin/sh", "-c", script}, Labels: map[string]string{"ironpost.logs": "off"}})
	ctx, cancel := context.WithTimeout(q.t.Context(), bareTime)
	defer cancel()
	lines := 0
	_ = client.Logs(ctx, id, docker.LogOptions{Follow: true, MaxLine: 1 << 16}, func(docker.LogLine) error { lines++; return nil }) // until the time is over
	q.engine.Remove(q.t, id)
	return float64(lines) / bareTime.Seconds()
}

// One container logs as fast as dockerd delivers, each line a match: of one user, which is one series, or of a user each, which are as
// many alerts. Quiet sources are not delayed by it.
func TestAcceptHostileContainerFlood(t *testing.T) {
	line := strings.TrimSpace(rootShell("flood"))
	for name, part := range map[string]struct {
		script string
		bar    float64 // lines/s, or half of what dockerd delivers to a bare client if that is less
	}{
		"one series":  {fmt.Sprintf("yes '%s'", line), 20_000},
		"many alerts": {fmt.Sprintf("seq 1 1000000000 | sed 's/.*/%s/'", strings.NewReplacer("flood", "flood&", "/", `\/`).Replace(line)), 0},
	} {
		t.Run(name, func(t *testing.T) {
			q := newQuietSources(t)
			bare := q.bareRate(part.script)
			bar := min(part.bar, bare/2)
			q.container("flood", "sleep 3; "+part.script)
			ctx, cancel := context.WithTimeout(t.Context(), floodDuration())
			defer cancel()
			q.run(ctx)
			secs := floodDuration().Seconds() - 3
			rate := float64(q.counter(bus.LogPipeline, "container_lines")) / secs
			t.Logf("%s: %.0f container lines/s (bar: ≥ %.0f; dockerd to a bare client: %.0f), %d alerts", name, rate, bar, bare, q.counter(bus.LogPipeline, "alerts"))
			q.finish(name)
			require.GreaterOrEqual(t, rate, bar)
		})
	}
}

// One peer offers 60,000 lines/s over TCP, each a match. It is made to wait, loses nothing, and delays no quiet source.
func TestAcceptHostileTCPFlood(t *testing.T) {
	const perStep, step = 600, 10 * time.Millisecond
	q := newQuietSources(t)
	conn := q.dialSyslog("127.0.2.1")
	ctx, cancel := context.WithTimeout(t.Context(), floodDuration())
	defer cancel()
	var sent uint64
	var wg sync.WaitGroup
	wg.Go(func() {
		var text strings.Builder
		for i := range perStep {
			text.WriteString("<38>" + rootShell(fmt.Sprintf("flood%d", i)))
		}
		for at := time.Now(); ctx.Err() == nil; at = at.Add(step) {
			time.Sleep(time.Until(at)) // nothing once it is made to wait
			if _, err := conn.Write([]byte(text.String())); err != nil {
				t.Error(err)
				return
			}
			sent += perStep
		}
	})
	q.run(ctx)
	wg.Wait()
	processed := q.counter(bus.LogPipeline, "lines")
	t.Logf("sent %d lines in %v (%.0f/s), %d processed meanwhile", sent, floodDuration(), float64(sent)/floodDuration().Seconds(), processed)
	q.finish("TCP flood")
	began := time.Now()
	spooled := func() uint64 { return q.counter(bus.LogPipeline, "tcp_received") }
	require.Eventually(t, func() bool { return spooled() >= sent }, 5*time.Minute, time.Second)
	lines := q.counter(bus.LogPipeline, "lines")
	require.Eventually(t, func() bool {
		before := lines
		lines = q.counter(bus.LogPipeline, "lines")
		return q.module(bus.LogPipeline).Counters["lag_bytes"] == 0 && lines-before < 100
	}, 30*time.Minute, time.Second)
	t.Logf("%d lines processed after %v, of %d sent by the peer and the quiet ones: none lost", lines, time.Since(began), sent)
	require.GreaterOrEqual(t, lines, sent)
}
