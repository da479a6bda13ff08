package pidfile_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/internal/pidfile"
)

// holdVar makes this test binary a second process that holds a PID file.
const holdVar = "IRONPOST_TEST_HOLD_PID_FILE"

func TestMain(m *testing.M) {
	if path := os.Getenv(holdVar); path != "" {
		hold(path)
		return
	}
	os.Exit(m.Run())
}

func hold(path string) {
	acquire := pidfile.Lock
	if filepath.Ext(path) == ".pid" {
		acquire = pidfile.Write
	}
	if _, err := acquire(path); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("held")
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent is done with us
}

// startHolder starts another process that holds path until it is killed.
func startHolder(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holdVar+"="+path)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	_, err = cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	first, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "held\n", first)
	return cmd
}

func path(t *testing.T, name string) string {
	return filepath.Join(t.TempDir(), "run", "ironpost", name)
}

const (
	lockName = "lock"
	pidName  = "ironpost.pid"
)

// both are the ways to hold a file, by the name of the file.
var both = map[string]func(string) (*pidfile.File, error){lockName: pidfile.Lock, pidName: pidfile.Write}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(b)
}

func TestTheFileHoldsThePIDAndReleaseRemovesIt(t *testing.T) {
	t.Parallel()
	for name, acquire := range both {
		p := path(t, name)
		f, err := acquire(p)
		require.NoError(t, err)
		require.Equal(t, strconv.Itoa(os.Getpid())+"\n", content(t, p))
		require.NoError(t, f.Release())
		require.NoFileExists(t, p)
		require.NoError(t, f.Release())
	}
}

func TestSecondProcessIsRefusedNamingTheFirst(t *testing.T) {
	t.Parallel()
	for name, acquire := range both {
		p := path(t, name)
		first := startHolder(t, p)

		_, err := acquire(p)
		var running *pidfile.RunningError
		require.ErrorAs(t, err, &running)
		require.Equal(t, first.Process.Pid, running.PID)
		require.Contains(t, err.Error(), strconv.Itoa(first.Process.Pid))
		require.Equal(t, strconv.Itoa(first.Process.Pid)+"\n", content(t, p), "the refused one changed nothing")
	}
}

func TestFileOfAKilledProcessIsTakenOver(t *testing.T) {
	t.Parallel()
	for name, acquire := range both {
		p := path(t, name)
		first := startHolder(t, p)
		require.NoError(t, first.Process.Kill())
		_ = first.Wait()
		require.FileExists(t, p)

		f, err := acquire(p)
		require.NoError(t, err)
		require.Equal(t, strconv.Itoa(os.Getpid())+"\n", content(t, p))
		require.NoError(t, f.Release())
	}
}

// A holder is named only if it runs and is an instance: a number in a file may be that of any process.
func TestAnotherProcessIsNotNamedAsTheHolder(t *testing.T) {
	t.Parallel()
	other := exec.Command("sleep", "1000")
	require.NoError(t, other.Start())
	t.Cleanup(func() { _ = other.Process.Kill(); _ = other.Wait() })
	dead := exec.Command("true")
	require.NoError(t, dead.Run())
	for _, pid := range []int{other.Process.Pid, dead.Process.Pid} {
		p := path(t, lockName)
		require.NoError(t, os.MkdirAll(filepath.Dir(p), 0o700))
		require.NoError(t, os.WriteFile(p, []byte(strconv.Itoa(pid)), 0o644))
		held, err := os.Open(p)
		require.NoError(t, err)
		require.NoError(t, unix.Flock(int(held.Fd()), unix.LOCK_EX))
		_, err = pidfile.Lock(p)
		var running *pidfile.RunningError
		require.ErrorAs(t, err, &running)
		require.Zero(t, running.PID)
		require.NotContains(t, err.Error(), strconv.Itoa(pid)+",")
		require.Contains(t, err.Error(), "fuser -v "+p)
		require.NoError(t, held.Close())

		p = path(t, pidName)
		require.NoError(t, os.MkdirAll(filepath.Dir(p), 0o700))
		require.NoError(t, os.WriteFile(p, []byte(strconv.Itoa(pid)), 0o644))
		f, err := pidfile.Write(p)
		require.NoError(t, err)
		require.NoError(t, f.Release())
	}
}

// Who can open a file can hold its lock: the PID file, which all may read, has none, and the lock is closed to others.
func TestOnlyAFileThatOthersCannotOpenIsLocked(t *testing.T) {
	t.Parallel()
	p := path(t, pidName)
	f, err := pidfile.Write(p)
	require.NoError(t, err)
	reader, err := os.Open(p)
	require.NoError(t, err)
	require.NoError(t, unix.Flock(int(reader.Fd()), unix.LOCK_EX|unix.LOCK_NB))
	again, err := pidfile.Write(p)
	require.NoError(t, err)
	require.NoError(t, errors.Join(f.Release(), again.Release(), reader.Close()))

	p = path(t, lockName)
	require.NoError(t, os.MkdirAll(filepath.Dir(p), 0o700))
	require.NoError(t, os.WriteFile(p, []byte("1\n"), 0o644)) // of an earlier version
	f, err = pidfile.Lock(p)
	require.NoError(t, err)
	info, err := os.Stat(p)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.NoError(t, f.Release())
}

func TestEmptyPathHoldsNothing(t *testing.T) {
	t.Parallel()
	f, err := pidfile.Write("")
	require.NoError(t, err)
	require.NoError(t, f.Release())
}

func TestFilesThatAreNoPIDFilesAreNotOverwritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	require.NoError(t, os.WriteFile(victim, []byte("1\n"), 0o600))
	prepare := map[string]func(p string) error{
		"symbolic link":                 func(p string) error { return os.Symlink(victim, p) },
		"hard link":                     func(p string) error { return os.Link(victim, p) },
		"fifo":                          func(p string) error { return unix.Mkfifo(p, 0o600) },
		"folder":                        func(p string) error { return os.Mkdir(p, 0o700) },
		"configuration":                 func(p string) error { return os.WriteFile(p, []byte("[general]\n"), 0o600) },
		"number followed by much else":  func(p string) error { return os.WriteFile(p, []byte("1"+strings.Repeat(" ", 100)+"x"), 0o600) },
		"negative number, for kill(-1)": func(p string) error { return os.WriteFile(p, []byte("-1"), 0o600) },
	}
	for name, make := range prepare {
		p := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		require.NoError(t, make(p))
		for _, acquire := range both {
			_, err := acquire(p)
			require.Error(t, err, name)
			require.Contains(t, err.Error(), p)
		}
		_, err := os.Lstat(p)
		require.NoError(t, err, "%s was removed", name)
		require.NoError(t, os.RemoveAll(p))
	}
	require.Equal(t, "1\n", content(t, victim))
}

func TestReleaseKeepsAnotherInstancesFile(t *testing.T) {
	t.Parallel()
	for name, acquire := range both {
		p := path(t, name)
		f, err := acquire(p)
		require.NoError(t, err)
		require.NoError(t, os.Remove(p))
		require.NoError(t, os.WriteFile(p, []byte("1\n"), 0o600))
		require.NoError(t, f.Release())
		require.Equal(t, "1\n", content(t, p))

		p = path(t, name)
		f, err = acquire(p)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(p, []byte("1\n"), 0o600)) // the same file, written by another
		require.NoError(t, f.Release())
		require.Equal(t, "1\n", content(t, p))
	}
}

func TestOnlyOneOfManyHoldsAtATime(t *testing.T) {
	t.Parallel()
	p := path(t, lockName)
	var holders, most, got atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				f, err := pidfile.Lock(p)
				if _, ok := errors.AsType[*pidfile.RunningError](err); ok {
					continue
				}
				if !assertNoError(t, err) {
					return
				}
				most.Store(max(most.Load(), holders.Add(1)))
				got.Add(1)
				holders.Add(-1)
				assertNoError(t, f.Release())
			}
		})
	}
	wg.Wait()
	require.Positive(t, got.Load())
	require.EqualValues(t, 1, most.Load())
}

func assertNoError(t *testing.T, err error) bool {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
	return err == nil
}
