//go:build accept && linux

package e2e_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// slowAddress makes the test binary the attacker of TestAcceptHostileHostHTTP.
const slowAddress = "IRONPOST_TEST_SLOW_ADDRESS"

// Fault 8: nobody keeps 10,000 connections to the metrics server that send a byte a second, and opens each again when it is closed.
// The probes answer within 100 ms. A request for a name that is not ours is refused.
func TestAcceptHostileHostHTTP(t *testing.T) {
	const slow, probes, bar = 10_000, 300, 100 * time.Millisecond
	if address := os.Getenv(slowAddress); address != "" {
		attackSlowly(t.Context(), address, slow)
		return
	}
	s := newInstance(t)
	s.start()
	before := s.probe("/healthz", probes)
	opened := s.attackAsNobody()
	s.eventually(func() bool { return opened() >= slow })
	began := time.Now()
	healthz, readyz := s.probe("/healthz", probes), s.probe("/readyz", probes)
	t.Logf("10,000 slow connections of nobody, %d opened in all during %.0f s of probes: /healthz p99 %v, /readyz p99 %v (bar %v each); /healthz without them p99 %v",
		opened(), time.Since(began).Seconds(), p99(healthz), p99(readyz), bar, p99(before))
	require.LessOrEqual(t, p99(healthz), bar)
	require.LessOrEqual(t, p99(readyz), bar)

	for host, want := range map[string]int{"attacker.example": http.StatusMisdirectedRequest, "localhost": http.StatusOK} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.metrics+"/healthz", nil)
		require.NoError(t, err)
		r.Host = host
		response, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		t.Logf("Host %s: %d (bar %d)", host, response.StatusCode, want)
		require.Equal(t, want, response.StatusCode)
	}
}

// probe asks n times on a connection of its own each, as a probe does, and returns how long each took.
func (s *instance) probe(path string, n int) (took []time.Duration) {
	s.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: waitLimit}
	for range n {
		began := time.Now()
		response, err := client.Get("http://" + s.metrics + path)
		require.NoError(s.t, err)
		_, err = io.Copy(io.Discard, response.Body)
		require.NoError(s.t, err)
		require.NoError(s.t, response.Body.Close())
		took = append(took, time.Since(began))
		require.Equal(s.t, http.StatusOK, response.StatusCode)
		time.Sleep(20 * time.Millisecond) // meanwhile more connections come
	}
	return took
}

func p99(took []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(took))
	return sorted[(len(sorted)*99+99)/100-1].Round(100 * time.Microsecond)
}

// attackAsNobody runs attackSlowly in a process of nobody until the test ends. opened returns how many connections it has opened.
func (s *instance) attackAsNobody() (opened func() int64) {
	s.t.Helper()
	program, err := os.Open("/proc/self/exe") // the folder of the test binary is not open to nobody
	require.NoError(s.t, err)
	defer func() { require.NoError(s.t, program.Close()) }()
	ctx, cancel := context.WithCancel(s.t.Context())
	cmd := exec.CommandContext(ctx, "/proc/self/fd/3", "-test.run", "^TestAcceptHostileHostHTTP$")
	cmd.ExtraFiles = []*os.File{program}
	cmd.Env = append(os.Environ(), slowAddress+"="+s.metrics)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	stderr, err := cmd.StderrPipe()
	require.NoError(s.t, err)
	require.NoError(s.t, cmd.Start())
	var n atomic.Int64
	var reading sync.WaitGroup
	reading.Go(func() {
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if count, err := strconv.ParseInt(strings.TrimSpace(lines.Text()), 10, 64); err == nil {
				n.Store(count)
			}
		}
	})
	s.t.Cleanup(func() { cancel(); reading.Wait(); _ = cmd.Wait() })
	return n.Load
}

// attackSlowly keeps n connections open, each of which sends a byte of a header every second, and writes how many it has opened to
// standard error, until the process is ended.
func attackSlowly(ctx context.Context, address string, n int) {
	var opened atomic.Int64
	for range n {
		go func() {
			for ctx.Err() == nil {
				c, err := net.Dial("tcp", address)
				if err != nil {
					time.Sleep(time.Second)
					continue
				}
				opened.Add(1)
				text := "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: "
				for err == nil {
					_, err = io.WriteString(c, text)
					text = "x"
					time.Sleep(time.Second)
				}
				_ = c.Close()
			}
		}()
	}
	for range time.Tick(100 * time.Millisecond) {
		_, _ = io.WriteString(os.Stderr, strconv.FormatInt(opened.Load(), 10)+"\n")
	}
}
