//go:build accept

package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Long runs behind `make accept-foundation`. Each prints its number and its limit ("bar").

const (
	kills    = 100
	downtime = 3*time.Minute + 5*time.Second // longer than the duplicates window
)

// writers append lines to the watched file and send others over TCP until stop.
type writers struct {
	s    *instance
	wg   sync.WaitGroup
	done chan struct{}
	once sync.Once
	file atomic.Int64 // whole lines appended
}

func (s *instance) startLoad(pause time.Duration) *writers {
	w := &writers{s: s, done: make(chan struct{})}
	w.wg.Go(func() { w.repeat(pause, w.appendLine) })
	w.wg.Go(func() { w.repeat(pause, w.tcpSender()) })
	s.t.Cleanup(w.stop)
	return w
}

func (w *writers) repeat(pause time.Duration, write func(n int)) {
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for n := 0; ; n++ {
		select {
		case <-w.done:
			return
		case <-ticker.C:
			write(n)
		}
	}
}

func (w *writers) appendLine(n int) {
	w.s.append([]byte(rootShell(fmt.Sprintf("file%d", n))))
	w.file.Store(int64(n) + 1)
}

// tcpSender writes to a connection and opens a new one after the daemon was restarted.
func (w *writers) tcpSender() func(n int) {
	var c net.Conn
	return func(n int) {
		if c == nil {
			c, _ = net.Dial("tcp", w.s.syslog)
		}
		if c == nil {
			return
		}
		if _, err := c.Write([]byte(rootShell(fmt.Sprintf("tcp%d", n)))); err != nil {
			_ = c.Close()
			c = nil
		}
	}
}

func (w *writers) stop() {
	w.once.Do(func() { close(w.done) })
	w.wg.Wait()
}

var spooledUser = regexp.MustCompile(`sudo:  (tcp\d+) :`)

// addSpooledUsers adds the users of the whole records in the spool to into.
func (s *instance) addSpooledUsers(into map[string]bool) {
	s.t.Helper()
	files, err := filepath.Glob(s.path("data/log-pipeline/spool/*.log"))
	require.NoError(s.t, err)
	for _, name := range files {
		b, err := os.ReadFile(name)
		require.NoError(s.t, err)
		for line := range strings.Lines(string(b)) {
			if m := spooledUser.FindStringSubmatch(line); m != nil && json.Valid([]byte(line)) {
				into[m[1]] = true
			}
		}
	}
}

// firstAlertsByUser counts the first alerts by user, and the ids stored twice.
func (s *instance) firstAlertsByUser() (users map[string]int, doubled int) {
	users, ids := map[string]int{}, map[string]bool{}
	for _, a := range s.alerts() {
		if ids[a.ID] {
			doubled++
		}
		ids[a.ID] = true
		if !a.Update {
			users[a.User]++
		}
	}
	return users, doubled
}

// waitForLastAlert waits until the last line appended has its alert.
func (s *instance) waitForLastAlert(w *writers) {
	s.t.Helper()
	last := fmt.Sprintf("file%d", w.file.Load()-1)
	s.eventually(func() bool { users, _ := s.firstAlertsByUser(); return users[last] > 0 })
}

// requireEveryLineOnce compares the lines that were accepted with the alerts stored.
func (s *instance) requireEveryLineOnce(w *writers, tcp map[string]bool) {
	s.t.Helper()
	users, doubled := s.firstAlertsByUser()
	lost, twice := 0, 0
	expect := func(user string) {
		switch n := users[user]; {
		case n == 0:
			lost++
			s.t.Logf("lost: %s", user)
		case n > 1:
			twice++
		}
	}
	for n := range w.file.Load() {
		expect(fmt.Sprintf("file%d", n))
	}
	for user := range tcp {
		expect(user)
	}
	for user, n := range users {
		if n > 1 && !tcp[user] && strings.HasPrefix(user, "tcp") {
			twice++
		}
	}
	s.t.Logf("lines appended %d, seen in the spool %d, alerts %d: lost %d (bar 0), alerted twice %d (bar 0), ids doubled %d (bar 0)",
		w.file.Load(), len(tcp), len(users), lost, twice, doubled)
	require.Zero(s.t, lost)
	require.Zero(s.t, twice)
	require.Zero(s.t, doubled)
}

func TestAcceptEveryLineOnceOverKills(t *testing.T) {
	s := newInstance(t)
	s.start()
	tcp := map[string]bool{}
	w := s.startLoad(2 * time.Millisecond)
	var slowest time.Duration
	for range kills {
		time.Sleep(time.Duration(20+rand.IntN(400)) * time.Millisecond)
		s.kill()
		s.addSpooledUsers(tcp)
		began := time.Now()
		s.start()
		slowest = max(slowest, time.Since(began))
	}
	w.stop()
	s.waitForLastAlert(w)
	s.addSpooledUsers(tcp)
	s.requireEveryLineOnce(w, tcp)
	t.Logf("%d kills: slowest start to ready %v (bar 1s)", kills, slowest)
	require.Less(t, slowest, time.Second)
}

func TestAcceptEveryLineOnceOverALongDowntime(t *testing.T) {
	s := newInstance(t)
	s.start()
	tcp := map[string]bool{}
	w := s.startLoad(2 * time.Millisecond)
	time.Sleep(3 * time.Second)
	s.kill()
	w.stop()
	s.addSpooledUsers(tcp)
	t.Logf("down for %v", downtime)
	time.Sleep(downtime)
	s.start()
	s.waitForLastAlert(w)
	s.requireEveryLineOnce(w, tcp)
}

func TestAcceptReloadsLoseNothing(t *testing.T) {
	s := newInstance(t)
	good, err := os.ReadFile(s.path("ironpost.toml"))
	require.NoError(t, err)
	s.start()
	w := s.startLoad(time.Millisecond)
	for n := range 1000 {
		text := string(good)
		switch {
		case n%2 == 1:
			text += "\nnot a key =\n"
		case n%4 == 0:
			text += fmt.Sprintf("dedup_window_secs = %d\n", 60+n%7)
		}
		s.write("ironpost.toml", text)
		require.NoError(t, s.daemon.Process.Signal(syscall.SIGHUP))
		s.eventually(func() bool { done, refused := s.reloads(); return done+refused == n+1 })
	}
	s.write("ironpost.toml", string(good))
	w.stop()
	s.waitForLastAlert(w)
	s.requireEveryLineOnce(w, nil)
	done, refused := s.reloads()
	t.Logf("1000 SIGHUP: %d reloads done (bar 500), %d refused (bar 500)", done, refused)
	require.Equal(t, []int{500, 500}, []int{done, refused})
}

var reloadsTotal = regexp.MustCompile(`ironpost_daemon_reloads_total\{result="(done|refused)"\} (\d+)`)

// reloads returns how many configurations the daemon has accepted and refused.
func (s *instance) reloads() (done, refused int) {
	s.t.Helper()
	resp, err := http.Get("http://" + s.metrics + "/metrics")
	require.NoError(s.t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	count := map[string]int{}
	for _, m := range reloadsTotal.FindAllStringSubmatch(string(body), -1) {
		count[m[1]], err = strconv.Atoi(m[2])
		require.NoError(s.t, err)
	}
	return count["done"], count["refused"]
}
