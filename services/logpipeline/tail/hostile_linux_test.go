package tail_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/logpipeline/tail"
)

const (
	nobody = 65534
	games  = 5
)

// requireRoot is for tests that give files to other users.
func requireRoot(t *testing.T) {
	t.Helper()
	var err error
	if os.Getuid() != 0 {
		err = errors.New("not root")
	}
	testenv.Require(t, "another user", err)
}

// give makes uid the owner of what is at these paths itself, links included.
func (d dir) give(uid int, names ...string) {
	d.t.Helper()
	for _, name := range names {
		require.NoError(d.t, os.Lchown(d.path(name), uid, uid))
	}
}

func (d dir) link(target, name string) {
	d.t.Helper()
	require.NoError(d.t, os.Symlink(target, d.path(name)))
}

// A link is followed if root made it or the owner of what it leads to, wherever in the path it is.
func TestLinksOfOtherUsersAreNotFollowed(t *testing.T) {
	t.Parallel()
	requireRoot(t)
	d := newDir(t)
	for _, name := range []string{"secret", "theirs", "logs"} {
		require.NoError(t, os.Mkdir(d.path(name), 0o755))
	}
	d.add("secret/root.log", "")
	d.add("theirs/app.log", "")
	d.give(nobody, "theirs", "theirs/app.log", "logs")
	d.link(d.path("secret/root.log"), "logs/stolen.log")
	d.link("../secret/root.log", "logs/relative.log")
	d.link("stolen.log", "logs/twice.log")
	d.link(d.path("secret"), "folder")
	d.link("root.log", "secret/hop.log") // root's, but reached over a link of nobody
	d.link(d.path("theirs/app.log"), "logs/own.log")
	d.link(d.path("secret/root.log"), "logs/by-root.log")
	d.link(d.path("theirs"), "root-folder")
	d.give(nobody, "logs/stolen.log", "logs/relative.log", "logs/twice.log", "folder", "logs/own.log")
	refused := []string{"logs/stolen.log", "logs/relative.log", "logs/twice.log", "folder/root.log", "folder/hop.log"}
	for _, name := range refused {
		r := newRig(t, d.path(name))
		r.settle()
		st := r.tail.Stats()
		require.Len(t, st.Reasons, 1, name)
		require.Contains(t, st.Reasons[0], d.path(name)+" leads over a symbolic link of user 65534 to what belongs to user 0")
		require.Equal(t, map[string]int64{tail.RefusedLink: 1}, st.Refused)
		d.add("secret/root.log", "password\n")
		r.settle()
		require.Empty(t, r.got, name)
	}
	for name, file := range map[string]string{"logs/own.log": "theirs/app.log", "logs/by-root.log": "secret/root.log", "root-folder/app.log": "theirs/app.log"} {
		r := newRig(t, d.path(name))
		r.settle()
		d.add(file, "line\n")
		r.want("line")
		require.Empty(t, r.tail.Stats().Reasons, name)
	}
	r := newRig(t, d.path("folder/*.log"))
	r.settle()
	require.Zero(t, r.tail.Stats().Files, "a folder behind such a link is not listed")
}

// Whoever swaps a file for a link to another user's all the time has none of its lines read.
func TestSwappedLinkIsNeverRead(t *testing.T) {
	t.Parallel()
	requireRoot(t)
	d := newDir(t)
	require.NoError(t, os.Mkdir(d.path("logs"), 0o755))
	d.add("secret.log", strings.Repeat("secret\n", 1000))
	d.add("logs/a", "")
	d.link(d.path("secret.log"), "logs/b")
	require.NoError(t, syscall.Mkfifo(d.path("logs/c"), 0o600))
	d.give(nobody, "logs", "logs/a", "logs/b", "logs/c")
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				from := d.path("logs/" + string("abc"[i%3]))
				_ = os.Rename(from, d.path("logs/app.log"))
				_ = os.Rename(d.path("logs/app.log"), from)
			}
		}
	}()
	r := newRig(t, d.path("logs/app.log"))
	r.cfg.From = tail.FromStart
	r.kill()
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		r.read(100, 10*time.Millisecond)
	}
	close(stop)
	<-done
	require.Empty(t, r.got)
	require.Positive(t, r.tail.Stats().Refused[tail.RefusedLink])
}

// Files of the kernel are not followed, by whatever name.
func TestKernelFilesAreNotFollowed(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	d.link("/proc/self/environ", "environ.log")
	d.link(fmt.Sprintf("/proc/%d/mem", os.Getpid()), "mem.log")
	d.link("/proc/self/root"+d.path("file.log"), "magic.log")
	d.link("/sys/kernel/uevent_seqnum", "sys.log")
	d.add("file.log", "")
	r := newRig(t, "/proc/self/environ", "/sys/kernel/*", d.path("environ.log"), d.path("mem.log"), d.path("magic.log"), d.path("sys.log"))
	r.settle()
	st := r.tail.Stats()
	require.Equal(t, map[string]int64{tail.RefusedKernel: 5}, st.Refused)
	require.Len(t, st.Reasons, 4, "three sentences, and how many more")
	require.Contains(t, st.Reasons[3], "2 more paths")
}

// A hard link that another user may have made to a file that it may not read is not followed.
func TestHardLinksInFoldersOfOthersAreNotFollowed(t *testing.T) {
	t.Parallel()
	requireRoot(t)
	d := newDir(t)
	require.NoError(t, os.Mkdir(d.path("logs"), 0o755))
	d.add("secret.log", "")
	require.NoError(t, os.Link(d.path("secret.log"), d.path("logs/app.log")))
	d.give(nobody, "logs")
	r := newRig(t, d.path("logs/app.log"))
	r.settle()
	require.Equal(t, map[string]int64{tail.RefusedHardLink: 1}, r.tail.Stats().Refused)
	d.give(0, "logs")
	d.add("secret.log", "line\n")
	r.want("line")
}

// The files of one user take neither the places nor the turns of the others.
func TestManyFilesOfOneUserCrowdOutNobody(t *testing.T) {
	t.Parallel()
	requireRoot(t)
	const most = 40
	d := newDir(t)
	for _, name := range []string{"logs", "other"} {
		require.NoError(t, os.Mkdir(d.path(name), 0o755))
	}
	for i := range 3 * most {
		d.add(fmt.Sprintf("logs/%d.log", i), strings.Repeat("noise\n", 1000))
	}
	d.give(nobody, "logs")
	r := newRig(t)
	r.cfg.Paths, r.cfg.MaxFiles, r.cfg.From = []string{d.path("*/*.log")}, most, tail.FromStart
	r.kill()
	require.NotZero(t, r.read(1, 10*time.Second))
	require.Equal(t, most, r.tail.Stats().Files)

	for _, name := range []string{"other/a.log", "other/b.log"} {
		d.add(name, "seen\n")
		d.give(games, name)
	}
	d.give(games, "other")
	read := 0
	for r.twice["seen"] < 2 {
		require.NotZero(t, r.read(1, 10*time.Second))
		read++
	}
	require.Less(t, read, most*1000/4, "not after those that were there before")
	r.settle()
	st := r.tail.Stats()
	require.Equal(t, most, st.Files)
	require.EqualValues(t, 2, st.Refused[tail.RefusedShare])
	require.Contains(t, strings.Join(st.Reasons, "\n"), fmt.Sprintf("more than %d files: %d are not followed, the most of user 65534", most, 2*most+2))
}

// A pattern finds what filepath.Glob finds.
func TestPatternsMatchAsGlobDoes(t *testing.T) {
	t.Parallel()
	d := newDir(t)
	for _, name := range []string{"a/x", "b/x", "c"} {
		require.NoError(t, os.MkdirAll(d.path(name), 0o755))
	}
	for _, name := range []string{"a/1.log", "a/x/2.log", "b/1.log", "b/x/[3].log", "c/.h.log", "top.log"} {
		d.add(name, "")
	}
	for _, pattern := range []string{"*.log", "*/*.log", "*/x/*", "?/1.log", "[ab]/*.log", `b/x/\[3\].log`, "a/../a/*.log", "none/*", "*/none"} {
		want, err := filepath.Glob(filepath.Clean(d.path(pattern)))
		require.NoError(t, err)
		require.ElementsMatch(t, want, tail.Glob(d.path(pattern)), pattern)
	}
}
