package quarantine

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"github.com/ironpost/ironpost/internal/docker"
)

// frozen reads from the cgroup freezer (version 1 or 2) whether a container that Docker
// calls paused is frozen. Where the freezer cannot be read it is taken to be.
func frozen(c docker.Container) bool {
	if !c.Paused || c.PID <= 0 {
		return true
	}
	cgroup, err := cgroupOf(c)
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(cgroup)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3) // hierarchy, controllers, path
		if len(parts) != 3 {
			continue
		}
		switch parts[1] {
		case "freezer":
			state, err := os.ReadFile("/sys/fs/cgroup/freezer" + parts[2] + "/freezer.state")
			return err != nil || strings.TrimSpace(string(state)) == "FROZEN"
		case "":
			events, err := os.ReadFile("/sys/fs/cgroup" + parts[2] + "/cgroup.events")
			if err == nil {
				return strings.Contains(string(events), "frozen 1")
			}
		}
	}
	return true
}

// cgroupOf returns the cgroups of the container's first process. The error says that the
// process id is not, or no longer, the container's.
func cgroupOf(c docker.Container) ([]byte, error) {
	cgroup, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", c.PID))
	if err != nil || !bytes.Contains(cgroup, []byte(c.ID)) {
		return nil, fmt.Errorf("process %d does not belong to the container", c.PID)
	}
	return cgroup, nil
}
