package safety

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
)

// maxProc bounds how much is read of a file in /proc.
const maxProc = 1 << 20

// FindSelf returns the container this process runs in, from the files below root, which
// is "/" but in tests. A virtual machine made from an image has .dockerenv too, so that
// counts only together with a file that container runtimes mount.
func FindSelf(root string) Self {
	mounts := readBounded(filepath.Join(root, "proc", "self", "mountinfo"))
	id := containerID(mounts, readBounded(filepath.Join(root, "proc", "self", "cgroup")))
	inside := id != ""
	for _, marker := range []string{".dockerenv", "run/.containerenv"} {
		if _, err := os.Stat(filepath.Join(root, marker)); err == nil && runtimeMount.MatchString(mounts) {
			inside = true
		}
	}
	return Self{Inside: inside, ID: id}
}

var (
	// Docker mounts /etc/hostname and others from its folder of the container. The
	// path is the fourth field of mountinfo (proc_pid_mountinfo(5)).
	containerMount = regexp.MustCompile(`(?m)^\d+ \d+ \S+ \S*/containers/([0-9a-f]{64})/\S* /etc/(?:hostname|hosts|resolv\.conf) `)
	runtimeMount   = regexp.MustCompile(`(?m)^\d+ \d+ \S+ \S+ /etc/(?:hostname|hosts|resolv\.conf) `)
	// cgroup v1 "…:/docker/<id>", v2 with systemd "…/docker-<id>.scope".
	ownCgroup = regexp.MustCompile(`(?m)^\d+:[^:]*:\S*/(?:docker[/-]|libpod-)([0-9a-f]{64})(?:\.scope)?(?:/\S*)?$`)
)

func containerID(mountinfo, cgroup string) string {
	for _, m := range [][]string{containerMount.FindStringSubmatch(mountinfo), ownCgroup.FindStringSubmatch(cgroup)} {
		if m != nil {
			return m[1]
		}
	}
	return ""
}

// readBounded returns the first maxProc bytes of a file, "" if it cannot be read: then this
// is not a container.
func readBounded(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }() // only read
	data, _ := io.ReadAll(io.LimitReader(f, maxProc))
	return string(data)
}
