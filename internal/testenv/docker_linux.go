package testenv

import (
	"bytes"
	"context"
	"encoding/json"
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

	"github.com/ironpost/ironpost/internal/task"
)

func rootOnLinux() error {
	if os.Geteuid() != 0 {
		return errors.New("a private dockerd needs root")
	}
	return nil
}

// startDaemon starts dockerd in a network namespace.
func startDaemon(ns *os.File, log string, args []string) (*daemon, error) {
	cmd := exec.CommandContext(context.Background(), "dockerd", args...)
	return startProcess(cmd, log, &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}, func() error { return enterNamespace(ns) })
}

// newNetNS makes a network namespace whose loopback interface is up. It lives as long as
// the file or a process in it.
func newNetNS() (ns *os.File, err error) {
	err = inThread("new network namespace", func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare network: %w", err)
		}
		if out, err := exec.CommandContext(context.Background(), "ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
			return fmt.Errorf("ip link set lo up: %w: %s", err, out)
		}
		var err error
		ns, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	return ns, err
}

// inThread runs fn on a thread of its own, which ends afterwards, and waits for it.
func inThread(name string, fn func() error) error {
	g := task.New(context.Background())
	g.Go(name, func(context.Context) error {
		runtime.LockOSThread()
		return fn()
	})
	return g.Wait()
}

// enterNamespace moves the current thread to a network namespace.
func enterNamespace(ns *os.File) error { return unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET) }

// destroy ends dockerd and its remaining processes, and removes its mounts and folder.
func (d *Docker) destroy(t testing.TB) {
	ctx := context.WithoutCancel(t.Context())
	var containers []struct {
		ID string `json:"Id"`
	}
	if _, answer, err := d.request(ctx, "GET", "/containers/json?all=1", nil); err == nil { // else it is down
		_ = json.Unmarshal(answer, &containers)
	}
	for _, c := range containers { // dockerd would wait for them
		_, _, _ = d.request(ctx, "DELETE", "/containers/"+c.ID+"?force=1", nil)
	}
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
		t.Logf("private dockerd leaves %s: %v", d.Dir, err)
	}
}

// leftovers finds the processes that have dockerd's folder in their command line, such as
// containerd's shims, and their children, the containers' processes.
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

// alive waits for a process that is about to end, because its parent has, and tells
// whether it still runs.
func alive(pid string) bool {
	for range 200 {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil || bytes.Contains(stat, []byte(") Z ")) {
			return false
		}
		time.Sleep(10 * time.Millisecond) // it is not our child, so there is no event to wait for
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
