//go:build accept

package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// logRotations counts kill -9, each with rotations before the next start; IRONPOST_TEST_ROTATIONS makes them fewer.
const logRotations = 1000

// rotator rotates auth.log in every way that rotation programs do.
type rotator struct {
	s    *instance
	rnd  *rand.Rand
	next int // rotated file
}

func (r *rotator) rotate() {
	t := r.s.t
	r.next++
	day := time.Date(2020, 1, r.next, 0, 0, 0, 0, time.UTC)
	name := []string{"auth.log-" + day.Format("20060102"), "auth-" + day.Format(time.DateOnly) + ".log", "old/auth.log-" + day.Format("20060102")}[r.rnd.IntN(3)]
	require.NoError(t, os.MkdirAll(r.s.path("old"), 0o700))
	if r.rnd.IntN(2) == 0 {
		require.NoError(t, os.Rename(r.s.path("auth.log"), r.s.path(name)))
		r.s.write("auth.log", "")
	} else {
		raw, err := os.ReadFile(r.s.path("auth.log"))
		require.NoError(t, err)
		r.s.write(name, string(raw))
		require.NoError(t, os.Truncate(r.s.path("auth.log"), 0))
	}
	packer := []string{"", "gzip", "xz", "zstd --rm", "bzip2"}[r.rnd.IntN(5)]
	if packer != "" {
		args := append(strings.Fields(packer), "-q", r.s.path(name))
		out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput()
		require.NoError(t, err, string(out))
	}
}

// prune removes rotated files that were read long ago.
func (r *rotator) prune(keep int) {
	var all []string
	for _, pattern := range []string{"auth.log-*", "auth-*", "old/*"} {
		found, err := filepath.Glob(r.s.path(pattern))
		require.NoError(r.s.t, err)
		all = append(all, found...)
	}
	for _, path := range all {
		info, err := os.Stat(path)
		require.NoError(r.s.t, err)
		if len(all) > keep && time.Since(info.ModTime()) > time.Minute {
			require.NoError(r.s.t, os.Remove(path))
		}
	}
}

// Over kill -9 and rotations of all kinds while the daemon is away every line has its alert, once.
func TestAcceptRotationsOverKills(t *testing.T) {
	rounds := logRotations
	if n, err := strconv.Atoi(os.Getenv("IRONPOST_TEST_ROTATIONS")); err == nil {
		rounds = n
	}
	s := newInstance(t)
	s.start()
	r := &rotator{s: s, rnd: rand.New(rand.NewPCG(1, 2))}
	written := 0
	line := func() {
		s.append([]byte(rootShell(fmt.Sprintf("file%d", written))))
		written++
	}
	for range rounds {
		for range r.rnd.IntN(20) {
			line()
		}
		time.Sleep(time.Duration(r.rnd.IntN(100)) * time.Millisecond)
		s.kill()
		for range 1 + r.rnd.IntN(3) {
			line()
			r.rotate()
		}
		s.start()
		r.prune(30)
	}
	line()
	s.eventually(func() bool { users, _ := s.firstAlertsByUser(); return users[fmt.Sprintf("file%d", written-1)] > 0 })
	s.eventually(func() bool { users, _ := s.firstAlertsByUser(); return len(users) >= written })
	users, doubled := s.firstAlertsByUser()
	lost, twice := 0, 0
	for n := range written {
		switch got := users[fmt.Sprintf("file%d", n)]; {
		case got == 0:
			lost++
		case got > 1:
			twice++
		}
	}
	t.Logf("%d kills, %d rotations, %d lines: lost %d (bar 0), alerted twice %d (bar 0), ids doubled %d (bar 0)", rounds, r.next, written, lost, twice, doubled)
	require.Zero(t, lost)
	require.Zero(t, twice)
	require.Zero(t, doubled)
}

// Ten thousand files cost little at the start and at rest, and their lines are seen at once.
func TestAcceptTenThousandFiles(t *testing.T) {
	const folders, files = 200, 50
	s := newInstance(t)
	for i := range folders {
		require.NoError(t, os.MkdirAll(s.path(fmt.Sprintf("many/%d", i)), 0o700))
		for j := range files {
			s.write(fmt.Sprintf("many/%d/%d.log", i, j), "")
		}
	}
	conf, err := os.ReadFile(s.path("ironpost.toml"))
	require.NoError(t, err)
	s.write("ironpost.toml", strings.Replace(string(conf), "watch_paths = [", fmt.Sprintf("watch_paths = [%q, ", s.path("many/*/*.log")), 1))
	began := time.Now()
	s.start()
	started := time.Since(began)
	time.Sleep(10 * time.Second) // the first poll is over
	before, at := s.cpu(), time.Now()
	time.Sleep(60 * time.Second)
	idle := float64(s.cpu()-before) / float64(time.Since(at))
	var slowest time.Duration
	for n := range 20 {
		user, path := fmt.Sprintf("many%d", n), s.path(fmt.Sprintf("many/%d/%d.log", n*7%folders, n%files))
		at := time.Now()
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		require.NoError(t, err)
		_, err = f.WriteString(rootShell(user))
		require.NoError(t, err)
		require.NoError(t, f.Close())
		s.eventually(func() bool { users, _ := s.firstAlertsByUser(); return users[user] > 0 })
		slowest = max(slowest, time.Since(at))
	}
	t.Logf("%d files: start %v (bar 5s), idle %.2f %% of a CPU (bar 2), slowest append to stored alert %v (bar 2s)", folders*files, started, 100*idle, slowest)
	require.Less(t, started, 5*time.Second)
	require.Less(t, idle, 0.02)
	require.Less(t, slowest, 2*time.Second)
}
