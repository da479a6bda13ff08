//go:build accept && linux

package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
)

// Fault 9: a watched folder belongs to nobody. Nothing that nobody puts there has a file read that nobody may not read, costs more than its turn,
// or delays the lines of others.
func TestAcceptHostileHostWatched(t *testing.T) {
	s := newInstance(t)
	require.NoError(t, os.Mkdir(s.path("theirs"), 0o755))
	require.NoError(t, os.Chown(s.path("theirs"), nobody, nobody))
	s.replace(fmt.Sprintf("watch_paths = [%q]", s.path("auth.log")), fmt.Sprintf("watch_paths = [%q, %q]", s.path("auth.log"), s.path("theirs/*.log")))
	s.write("secret.log", "")
	s.start()
	s.openFolders()
	s.alertOf("undisturbed")

	s.linkToSecret()
	s.kernelFilesAndPipes()
	s.sparseFile()
	s.manyFiles()
}

// refusedWithin is the bar for being refused, told, or not delayed.
const refusedWithin = 5 * time.Second

// alertOf writes a line of root's log that raises an alert, and returns how long the alert took.
func (s *instance) alertOf(user string) time.Duration {
	s.t.Helper()
	began := time.Now()
	s.append([]byte(rootShell(user)))
	s.eventually(func() bool { return strings.Contains(s.ironpost("alerts", "--json", "--limit", "1000"), user) })
	return time.Since(began)
}

// refusals waits until the status counts n paths refused for a reason, and returns how long that took.
func (s *instance) refusals(reason string, n uint64) time.Duration {
	s.t.Helper()
	began := time.Now()
	s.eventually(func() bool { return s.counter(bus.LogPipeline, "files_refused_"+reason) >= n })
	return time.Since(began)
}

// asNobodyIn executes a script of nobody in the watched folder.
func (s *instance) asNobodyIn(script string, args ...string) {
	s.t.Helper()
	out, err := asNobody(s.t, `cd "$1"; shift; `+script, append([]string{s.path("theirs")}, args...)...).CombinedOutput()
	require.NoError(s.t, err, "%s", out)
}

// linkToSecret has nobody link a file that only root may read, directly, in turn with a file of its own, and over a folder.
func (s *instance) linkToSecret() {
	s.t.Helper()
	s.asNobodyIn(`ln -s "$1" stolen.log; ln -s stolen.log twice.log; ln -s "$2" up; ln -s up/secret.log over-folder.log`, s.path("secret.log"), s.dir)
	took := s.refusals("link", 3)
	swapped := asNobody(s.t, `cd "$1"; touch a; ln -s "$2" b; while :; do mv -f a swap.log; mv -f swap.log a; mv -f b swap.log; mv -f swap.log b; done`, s.path("theirs"), s.path("secret.log"))
	require.NoError(s.t, swapped.Start())
	for n := range 50 {
		s.write("secret.log", strings.Repeat(rootShell(fmt.Sprintf("secret-%d", n)), 100))
	}
	s.alertOf("after-secret")
	require.NoError(s.t, swapped.Process.Kill())
	_ = swapped.Wait()
	stored := s.ironpost("alerts", "--json", "--limit", "100000")
	require.NotContains(s.t, stored, "secret-", "an alert carries text of a file that only root may read")
	require.Less(s.t, took, refusedWithin)
	s.t.Logf("links to a root-only file: 3 refused and told after %.1f s (bar 5), and swapped in and out while 5000 lines were written; 0 alerts carry its text (bar 0)", took.Seconds())
	s.asNobodyIn(`rm -f *`)
}

// kernelFilesAndPipes has nobody offer files of the kernel, a pipe without a writer, a socket and a folder.
func (s *instance) kernelFilesAndPipes() {
	s.t.Helper()
	before := s.counter(bus.LogPipeline, "files_refused_not_regular")
	s.asNobodyIn(`ln -s "/proc/$1/mem" mem.log; ln -s "/proc/$1/environ" environ.log; ln -s /sys/kernel/uevent_seqnum sys.log; mkfifo pipe.log; mkdir folder.log; ln -s /dev/zero zero.log`,
		fmt.Sprint(s.daemon.Process.Pid))
	took := max(s.refusals("kernel_file", 3), s.refusals("not_regular", before+2))
	opened, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", s.daemon.Process.Pid))
	require.NoError(s.t, err)
	require.NotEmpty(s.t, opened)
	for _, fd := range opened {
		target, _ := os.Readlink(fd)
		require.NotRegexp(s.t, `^/proc/\d+/(mem|environ)|pipe\.log|^/dev/zero`, target)
	}
	delay := s.alertOf("after-pipe")
	require.Less(s.t, max(took, delay), refusedWithin)
	s.t.Logf("/proc/<pid>/mem, environ, /sys, a pipe, a folder, /dev/zero: refused and told after %.1f s (bar 5), none is open; a line of root's log took %.1f s (bar 5)", took.Seconds(), delay.Seconds())
	s.asNobodyIn(`rm -rf *`)
}

// sparseFile has nobody make a file of a terabyte.
func (s *instance) sparseFile() {
	s.t.Helper()
	s.asNobodyIn(`truncate -s 1T sparse.log || truncate -s 8T sparse.log`)
	began, before := time.Now(), s.cpu()
	delay := s.alertOf("after-sparse")
	s.eventually(func() bool { return time.Since(began) > 10*time.Second })
	share := (s.cpu() - before).Seconds() / time.Since(began).Seconds()
	s.t.Logf("a file of 1 TB: a line of root's log took %.1f s (bar 5), the daemon %.0f %% of a core over %.0f s (bar 25 %%)", delay.Seconds(), 100*share, time.Since(began).Seconds())
	require.Less(s.t, share, 0.25)
	require.Less(s.t, delay, refusedWithin)
	s.asNobodyIn(`rm -f *`)
}

// manyFiles has nobody make 10,000 files with lines and more than are followed.
func (s *instance) manyFiles() {
	s.t.Helper()
	s.asNobodyIn(`for i in $(seq 11000); do echo "line of nobody" >$i.log; done`)
	s.eventually(func() bool { return s.counter(bus.LogPipeline, "files") >= 9000 })
	var worst time.Duration
	writing := asNobody(s.t, `cd "$1"; while :; do for i in $(seq 2000); do echo "line of nobody" >>$i.log; done; done`, s.path("theirs"))
	require.NoError(s.t, writing.Start())
	for n := range 5 {
		worst = max(worst, s.alertOf(fmt.Sprintf("beside-many-%d", n)))
	}
	require.NoError(s.t, writing.Process.Kill())
	_ = writing.Wait()
	told := func() bool {
		return strings.Contains(strings.Join(s.module(bus.LogPipeline).Reasons, "; "), "are not followed, the most of user 65534")
	}
	s.eventually(told)
	s.t.Logf("11,000 files of nobody, 2,000 of them written all the time: the slowest of 5 lines of root's log took %.1f s (bar 5); status names the user", worst.Seconds())
	require.Less(s.t, worst, refusedWithin)
}
