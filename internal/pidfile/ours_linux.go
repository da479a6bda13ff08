package pidfile

import (
	"bytes"
	"fmt"
	"os"
)

// ours reports whether pid is a process that runs now, of this program and this user. A number that a dead process left may belong to
// any other process by now.
func ours(pid int) bool {
	if pid <= 0 {
		return false
	}
	name, uid := describe(fmt.Sprint(pid))
	ownName, ownUID := describe("self")
	return name != "" && name == ownName && uid == ownUID
}

// describe returns the name and the effective user of a process, both empty if there is none (proc_pid_status(5)).
func describe(pid string) (name, uid string) {
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return "", ""
	}
	for line := range bytes.Lines(status) {
		key, value, _ := bytes.Cut(bytes.TrimSpace(line), []byte(":\t"))
		switch fields := bytes.Fields(value); {
		case string(key) == "Name":
			name = string(value)
		case string(key) == "Uid" && len(fields) > 1:
			uid = string(fields[1])
		}
	}
	return name, uid
}
