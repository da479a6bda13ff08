package attach

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// containerSource is the source of a bpf file system that a process in a container mounted itself:
// by it a later process in the container knows that it ends with the container.
const containerSource = "bpf-of-container"

// initialPIDNamespace is the inode of the machine's own (PROC_PID_INIT_INO of the kernel).
const initialPIDNamespace = 0xEFFFFFFC

// inContainer reports whether this process has a PID namespace of its own, as in a container. Files such as /.dockerenv say less: a
// virtual machine's disk that was made from an image has them too.
func inContainer() bool {
	var st unix.Stat_t
	return unix.Stat("/proc/self/ns/pid", &st) == nil && st.Ino != initialPIDNamespace
}

// EndWithContainer reports whether what is pinned ends with the container that this process runs
// in, because the bpf file system is not the host's.
func (p Pins) EndWithContainer() bool {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	return err == nil && p.dir != "" && sourceOf(string(mounts), p.dir) == containerSource
}

// sourceOf returns the source of the file system that path is on, of the lines of
// /proc/self/mountinfo (proc_pid_mountinfo(5)).
func sourceOf(mounts, path string) string {
	longest, source := "", ""
	for line := range strings.Lines(mounts) {
		before, after, _ := strings.Cut(line, " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if len(left) < 5 || len(right) < 2 {
			continue
		}
		at := left[4]
		below := path == at || strings.HasPrefix(path, strings.TrimSuffix(filepath.Clean(at), "/")+"/")
		if below && len(at) >= len(longest) { // of two on one folder the later one counts
			longest, source = at, right[1]
		}
	}
	return source
}
