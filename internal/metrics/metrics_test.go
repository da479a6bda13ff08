package metrics_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type rig struct {
	url    string
	addr   string
	status atomic.Uint32
	ready  atomic.Bool
	age    atomic.Int64 // of the health
	reg    *metrics.Registry
	log    *logtest.Hook
}

func serve(t *testing.T, listen string, hosts ...string) *rig {
	t.Helper()
	log, hook := logtest.NewNullLogger()
	r := &rig{reg: metrics.NewRegistry(metrics.Build{Version: "v1", Revision: "abc", GoVersion: "go1"}), log: hook}
	r.ready.Store(true)
	s, err := metrics.Listen(t.Context(), metrics.Options{
		Listen: listen, Hosts: hosts, Gatherer: r.reg, Log: log, Ready: r.ready.Load,
		Health: func(context.Context) event.DaemonHealth {
			return event.DaemonHealth{Host: "h", Time: time.Now().Add(-time.Duration(r.age.Load())), Status: event.Status(r.status.Load())}
		},
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	r.addr, r.url = s.Addr(), "http://"+s.Addr()
	return r
}

// A request under way when the stop begins is answered, and Serve returns after that.
func TestServeWaitsForRunningRequests(t *testing.T) {
	t.Parallel()
	log, _ := logtest.NewNullLogger()
	asked, release := make(chan struct{}), make(chan struct{})
	var answered atomic.Bool
	s, err := metrics.Listen(t.Context(), metrics.Options{
		Listen: "127.0.0.1:0", Gatherer: metrics.NewRegistry(metrics.Build{}), Log: log, Ready: func() bool { return true },
		Health: func(context.Context) event.DaemonHealth {
			close(asked)
			<-release
			answered.Store(true)
			return event.DaemonHealth{Host: "h"}
		},
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	before := make(chan bool, 1)
	go func() {
		_ = s.Serve(ctx)
		before <- answered.Load()
	}()
	code := make(chan int, 1)
	go func() {
		resp, err := http.Get("http://" + s.Addr() + "/healthz")
		if err != nil {
			code <- 0
			return
		}
		_ = resp.Body.Close() // only the status is wanted
		code <- resp.StatusCode
	}()
	<-asked
	cancel()
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", s.Addr())
		if err == nil {
			_ = c.Close() // still open
		}
		return err != nil
	}, time.Minute, time.Millisecond)
	close(release)
	require.True(t, <-before)
	require.Equal(t, http.StatusOK, <-code)
}

// A health that cannot be told is no success without a body.
func TestUnencodableHealthIsAnInternalServerError(t *testing.T) {
	t.Parallel()
	log, _ := logtest.NewNullLogger()
	s, err := metrics.Listen(t.Context(), metrics.Options{
		Listen: "127.0.0.1:0", Gatherer: metrics.NewRegistry(metrics.Build{}), Log: log, Ready: func() bool { return true },
		Health: func(context.Context) event.DaemonHealth {
			return event.DaemonHealth{Time: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)} // RFC 3339 has four digits
		},
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	code, body := do(t, http.MethodGet, "http://"+s.Addr()+"/healthz", "")
	require.Equal(t, http.StatusInternalServerError, code)
	require.Contains(t, body, "year outside of range")
	cancel()
	require.NoError(t, <-done)
}

func do(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	req.Close = true
	resp, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode, string(b)
}

func TestMetricsAreServedAndClean(t *testing.T) {
	t.Parallel()
	r := serve(t, "127.0.0.1:0")
	code, body := do(t, http.MethodGet, r.url+"/metrics", "")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, body, `ironpost_build_info{goversion="go1",revision="abc",version="v1"} 1`)
	require.Contains(t, body, "go_goroutines")
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)
}

func TestModuleMetricsAreReplacedOnRestart(t *testing.T) {
	t.Parallel()
	r := serve(t, "127.0.0.1:0")
	for i := range 3 {
		reg := prometheus.NewRegistry()
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "ironpost_test_seen_total", Help: "Seen."})
		require.NoError(t, reg.Register(c))
		c.Add(float64(i + 1))
		r.reg.Use("test", reg)
	}
	_, body := do(t, http.MethodGet, r.url+"/metrics", "")
	require.Contains(t, body, "ironpost_test_seen_total 3")
}

func TestExportedMetricsAreCollectedUntilStopped(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	answer := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "test_answer_seconds", Help: "Answers.", Buckets: []float64{1}})
	described := metrics.Described{"lines_total": {"Lines.", "source"}, "ready": {"Whether it is ready."}}
	export := func() (func(), error) {
		return metrics.Export(reg, "test_", described, func(s metrics.Sink) {
			s.Count("lines_total", 3, "file")
			s.Bool("ready", true)
		}, answer)
	}
	stop, err := export()
	require.NoError(t, err)
	answer.Observe(0.5)
	require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP test_answer_seconds Answers.
# TYPE test_answer_seconds histogram
test_answer_seconds_bucket{le="1"} 1
test_answer_seconds_bucket{le="+Inf"} 1
test_answer_seconds_sum 0.5
test_answer_seconds_count 1
# HELP test_lines_total Lines.
# TYPE test_lines_total counter
test_lines_total{source="file"} 3
# HELP test_ready Whether it is ready.
# TYPE test_ready gauge
test_ready 1
`)))
	_, err = export()
	require.Error(t, err, "registered already")
	stop()
	families, err := reg.Gather()
	require.NoError(t, err)
	require.Empty(t, families)
	stop, err = export()
	require.NoError(t, err, "the next instance registers its own")
	stop()
	stop, err = metrics.Export(nil, "test_", described, nil)
	require.NoError(t, err)
	stop()
}

// An unhealthy daemon is alive: it starts what failed again itself, and a restart of all would interrupt the rest.
func TestProbesFollowTheHealth(t *testing.T) {
	t.Parallel()
	r := serve(t, "127.0.0.1:0")
	for _, c := range []struct {
		status          event.Status
		ready           bool
		age             time.Duration
		healthz, readyz int
	}{
		{event.Healthy, true, 0, 200, 200},
		{event.Degraded, true, 0, 200, 200},
		{event.Unhealthy, true, 0, 200, 503},
		{event.Healthy, false, 0, 200, 503},
		{event.Healthy, true, time.Hour, 503, 200},
	} {
		r.status.Store(uint32(c.status))
		r.ready.Store(c.ready)
		r.age.Store(int64(c.age))
		code, body := do(t, http.MethodGet, r.url+"/healthz", "")
		require.Equal(t, c.healthz, code)
		var h event.DaemonHealth
		require.NoError(t, json.Unmarshal([]byte(body), &h))
		require.Equal(t, c.status, h.Status)
		code, _ = do(t, http.MethodGet, r.url+"/readyz", "")
		require.Equal(t, c.readyz, code)
	}
}

func TestOnlyGetOfKnownPaths(t *testing.T) {
	t.Parallel()
	r := serve(t, "127.0.0.1:0")
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodHead, http.MethodOptions} {
		code, _ := do(t, method, r.url+"/metrics", "")
		require.Equal(t, http.StatusMethodNotAllowed, code, method)
	}
	code, _ := do(t, http.MethodGet, r.url+"/metrics", "a body")
	require.Equal(t, http.StatusMethodNotAllowed, code)
	for _, path := range []string{"/", "/debug/pprof/", "/metrics/x"} {
		code, _ = do(t, http.MethodGet, r.url+path, "")
		require.Equal(t, http.StatusNotFound, code, path)
	}
}

// Another port would be one that nothing scrapes.
func TestTakenPortIsAnError(t *testing.T) {
	t.Parallel()
	log, _ := logtest.NewNullLogger()
	_, err := metrics.Listen(t.Context(), metrics.Options{Listen: serve(t, "127.0.0.1:0").addr, Log: log})
	require.ErrorIs(t, err, syscall.EADDRINUSE)
}

// A page of another site that lets its name resolve to our address is refused: a browser sends
// that name.
func TestRequestsForOtherHostsAreRefused(t *testing.T) {
	t.Parallel()
	r := serve(t, "127.0.0.1:0", "edge-7")
	for host, want := range map[string]int{
		r.addr: http.StatusOK, "localhost:9464": http.StatusOK, "[::1]:9464": http.StatusOK, "[::1]": http.StatusOK, "192.0.2.7": http.StatusOK,
		"edge-7:9464": http.StatusOK, "EDGE-7": http.StatusOK,
		"attacker.example": http.StatusMisdirectedRequest, "127.0.0.1.attacker.example:80": http.StatusMisdirectedRequest, "edge-7.": http.StatusMisdirectedRequest,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/metrics", nil)
		require.NoError(t, err)
		req.Host = host
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, want, resp.StatusCode, host)
	}
}

func TestAddressOfAnotherMachineIsAnError(t *testing.T) {
	t.Parallel()
	log, hook := logtest.NewNullLogger()
	_, err := metrics.Listen(t.Context(), metrics.Options{Listen: "192.0.2.1:9464", Log: log})
	require.ErrorContains(t, err, "metrics")
	require.Empty(t, hook.AllEntries())
}

// dial opens a connection and sends the beginning of a request.
func dial(t *testing.T, addr, begin string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	_, err = fmt.Fprint(conn, begin)
	require.NoError(t, err)
	return conn
}

// Connections that never complete a request make room for one that does: those that are slowest first. A request
// that is being answered stays.
func TestSlowConnectionsMakeRoom(t *testing.T) {
	t.Parallel()
	asked, release := make(chan struct{}, 1), make(chan struct{})
	log, _ := logtest.NewNullLogger()
	s, err := metrics.Listen(t.Context(), metrics.Options{
		Listen: "127.0.0.1:0", Gatherer: metrics.NewRegistry(metrics.Build{}), Log: log, Ready: func() bool { return true },
		Health: func(ctx context.Context) event.DaemonHealth {
			select {
			case asked <- struct{}{}:
				<-release
			default: // not the first
			}
			return event.DaemonHealth{Host: "h"}
		},
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })

	slow := dial(t, s.Addr(), "GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
	answering := dial(t, s.Addr(), "GET /healthz HTTP/1.0\r\n\r\n")
	for len(asked) == 0 {
		time.Sleep(time.Millisecond)
	}
	require.Empty(t, s.Reason())
	for range 600 {
		dial(t, s.Addr(), "GET /hea")
	}
	_, err = io.Copy(io.Discard, slow)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the slowest is closed")
	code, _ := do(t, http.MethodGet, "http://"+s.Addr()+"/readyz", "")
	require.Equal(t, http.StatusOK, code)
	require.Regexp(t, `^connections to metrics and probes were closed since .*: too many are open \d+; the most, \d+, of 127.0.0.1$`, s.Reason())
	close(release)
	line, err := bufio.NewReader(answering).ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "200")
}

func TestLargeHeaderIsRefused(t *testing.T) {
	t.Parallel()
	r := serve(t, "127.0.0.1:0")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/readyz", nil)
	require.NoError(t, err)
	req.Close = true
	req.Header.Set("X", strings.Repeat("x", 64<<10))
	resp, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, resp.StatusCode)
}
