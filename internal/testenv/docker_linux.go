package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const terminate = syscall.SIGTERM

// daemon is one run of dockerd. done is closed when it has ended.
type daemon struct {
	cmd  *exec.Cmd
	done chan struct{}
}

func rootOnLinux() error {
	if os.Geteuid() != 0 {
		return errors.New("a private dockerd needs root")
	}
	return nil
}

// startDaemon starts dockerd in a network namespace. It is started by a thread
// that lives as long as the daemon does, so that the daemon gets SIGTERM if the
// tests end without cleaning up.
func startDaemon(ns *os.File, log string, args []string) (*daemon, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	d := &daemon{cmd: exec.CommandContext(context.Background(), "dockerd", args...), done: make(chan struct{})}
	d.cmd.Stdout, d.cmd.Stderr = out, out
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
	started := make(chan error)
	go func() {
		defer close(d.done)
		defer func() { _ = out.Close() }()
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		if err == nil {
			err = d.cmd.Start()
		}
		started <- err
		if err == nil {
			_ = d.cmd.Wait()
		}
	}()
	return d, <-started
}

// newNetNS makes a network namespace whose loopback is up. It lives as long as
// the file or a process in it.
func newNetNS() (*os.File, error) {
	var ns *os.File
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		result <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("unshare network: %w", err)
			}
			if out, err := exec.CommandContext(context.Background(), "ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
				return fmt.Errorf("ip link set lo up: %w: %s", err, out)
			}
			var err error
			ns, err = os.Open("/proc/thread-self/ns/net")
			return err
		}()
	}()
	return ns, <-result
}

// within runs fn on a thread of its own inside a network namespace.
func within(ns *os.File, fn func()) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		defer func() { result <- err }()
		if err == nil {
			fn()
		}
	}()
	return <-result
}

// destroy ends the engine, every process that still names its folder, and the mounts below it.
func (d *Docker) destroy(t testing.TB) {
	ctx := context.WithoutCancel(t.Context())
	d.removeAll(ctx)
	if d.daemon != nil {
		_ = d.daemon.cmd.Process.Signal(syscall.SIGTERM)
		<-d.daemon.done
	}
	for _, pid := range leftovers(d.Dir) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	for _, m := range mountsBelow(d.Dir) {
		_ = unix.Unmount(m, unix.MNT_DETACH)
	}
	_ = d.ns.Close()
	if err := os.RemoveAll(d.Dir); err != nil {
		t.Logf("private engine leaves %s: %v", d.Dir, err)
	}
}

// removeAll kills all containers, for which a dying engine would wait.
func (d *Docker) removeAll(ctx context.Context) {
	_, answer, err := d.request(ctx, "GET", "/containers/json?all=1", nil)
	if err != nil {
		return // the engine is down: its shims are ended by name of its folder
	}
	for _, id := range idsIn(answer) {
		_, _, _ = d.request(ctx, "DELETE", "/containers/"+id+"?force=1", nil)
	}
}

// leftovers finds the engine's own processes, such as containerd's shims: each
// names the engine's folder in its command line. What ran in a container ends
// with its shim's cgroup, so those are found by the shims' children.
func leftovers(dir string) []int {
	var out []int
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range all {
		line, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(line, []byte(dir+"/")) {
			continue
		}
		pid, err := strconv.Atoi(strings.Split(path, "/")[2])
		if err == nil && pid != os.Getpid() {
			out = append(append(out, children(pid)...), pid)
		}
	}
	return out
}

// alive waits for a process that is about to end, because its parent did, and
// tells whether it is still there.
func alive(pid string) bool {
	for range 200 {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil || bytes.Contains(stat, []byte(") Z ")) {
			return false
		}
		time.Sleep(10 * time.Millisecond) // no event tells of the end of what is not our child
	}
	return true
}

func children(pid int) []int {
	var out []int
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, path := range tasks {
		b, _ := os.ReadFile(path)
		for field := range strings.FieldsSeq(string(b)) {
			if child, err := strconv.Atoi(field); err == nil {
				out = append(out, child)
			}
		}
	}
	return out
}

// mountsBelow lists mount points below dir, innermost first.
func mountsBelow(dir string) []string {
	b, _ := os.ReadFile("/proc/self/mountinfo")
	var out []string
	for line := range strings.Lines(string(b)) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			out = append(out, fields[4])
		}
	}
	slices.Reverse(out)
	return out
}
