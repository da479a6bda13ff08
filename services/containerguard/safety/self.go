package safety

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
)

// maxProc bounds what is read of a file of /proc.
const maxProc = 1 << 20

// FindSelf looks below root, "/" but in tests, for the container this process runs in.
// A machine made from an image has the image's mark, so the mark alone proves
// nothing: in a container some of the files that every engine mounts are mounts.
func FindSelf(root string) Self {
	mounts := readSome(filepath.Join(root, "proc", "self", "mountinfo"))
	id := containerID(mounts, readSome(filepath.Join(root, "proc", "self", "cgroup")))
	inside := id != ""
	for _, mark := range []string{".dockerenv", "run/.containerenv"} {
		if _, err := os.Stat(filepath.Join(root, mark)); err == nil && given.MatchString(mounts) {
			inside = true
		}
	}
	return Self{Inside: inside, ID: id}
}

var (
	// Docker mounts /etc/hostname and others from its folder of the container. The
	// path is the fourth field of mountinfo (proc_pid_mountinfo(5)).
	mountedFrom = regexp.MustCompile(`(?m)^\d+ \d+ \S+ \S*/containers/([0-9a-f]{64})/\S* /etc/(?:hostname|hosts|resolv\.conf) `)
	given       = regexp.MustCompile(`(?m)^\d+ \d+ \S+ \S+ /etc/(?:hostname|hosts|resolv\.conf) `)
	// cgroup v1 "…:/docker/<id>", v2 with systemd "…/docker-<id>.scope".
	ownGroup = regexp.MustCompile(`(?m)^\d+:[^:]*:\S*/(?:docker[/-]|libpod-)([0-9a-f]{64})(?:\.scope)?(?:/\S*)?$`)
)

func containerID(mountinfo, cgroup string) string {
	for _, m := range [][]string{mountedFrom.FindStringSubmatch(mountinfo), ownGroup.FindStringSubmatch(cgroup)} {
		if m != nil {
			return m[1]
		}
	}
	return ""
}

// readSome returns what can be read; a system without the file is not in a container.
func readSome(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }() // only read
	data, _ := io.ReadAll(io.LimitReader(f, maxProc))
	return string(data)
}
