package inventory

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// containerInCgroup matches the container's id in a cgroup path: /docker/<id>,
// /system.slice/docker-<id>.scope, and paths below.
var containerInCgroup = regexp.MustCompile(`(?:^|[/-])([0-9a-f]{64})(?:\.scope)?(?:/|$)`)

// initNamespace is the first process namespace, as Linux numbers it (PROC_PID_INIT_INO).
const initNamespace = "pid:[4026531836]"

// ticks per second of /proc/<pid>/stat: USER_HZ, which is part of Linux's interface.
const ticks = 100

// process is a running process.
type process struct {
	container string // id, "" if it is in none
	started   time.Time
}

// readProcess reads a process of the host from /proc. It fails in a process namespace of
// our own, where ids are not the host's.
func readProcess(pid int) (process, error) {
	if ns, err := os.Readlink("/proc/self/ns/pid"); err != nil || ns != initNamespace {
		return process{}, fmt.Errorf("process ids of the host are not visible here")
	}
	started, err := startTime(pid)
	if err != nil {
		return process{}, err
	}
	cgroup, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return process{}, err
	}
	again, err := startTime(pid) // still the same process
	if err != nil || again.Sub(started).Abs() > processSlack {
		return process{}, fmt.Errorf("process %d has ended", pid)
	}
	return process{container: containerIn(string(cgroup)), started: started}, nil
}

// containerIn returns the container id on which all lines of a cgroup file agree, or "".
func containerIn(cgroup string) string {
	found := ""
	for line := range strings.Lines(cgroup) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		m := containerInCgroup.FindStringSubmatch(parts[2])
		if m == nil {
			continue
		}
		if found != "" && found != m[1] {
			return ""
		}
		found = m[1]
	}
	return found
}

func startTime(pid int) (time.Time, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return time.Time{}, err
	}
	_, rest, found := bytes.Cut(stat[max(0, bytes.LastIndexByte(stat, ')')):], []byte(") "))
	fields := bytes.Fields(rest)
	if !found || len(fields) < 20 {
		return time.Time{}, fmt.Errorf("/proc/%d/stat is not understood", pid)
	}
	since, err := strconv.ParseInt(string(fields[19]), 10, 64) // field 22 of the file
	if err != nil {
		return time.Time{}, err
	}
	var sinceBoot unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &sinceBoot); err != nil {
		return time.Time{}, fmt.Errorf("boot time: %w", err)
	}
	boot := time.Now().Add(-time.Duration(sinceBoot.Nano()))
	return boot.Add(time.Duration(since) * time.Second / ticks), nil
}
