package blocklist

import "strconv"

const (
	// A process that was not sshd in its first lookups is examined again in every twelfth only: a new one has the name of its parent
	// until it executes its program, and an older one hardly ever becomes sshd.
	firstLookups = 3
	laterLookups = 12
)

// otherProcesses counts, by process id, the lookups since a process was first seen not to be sshd.
type otherProcesses map[string]int

// remove returns the processes among the names in /proc that are sshd, of which it examines those that may be.
func (o *otherProcesses) remove(names []string, isSSHD func(pid string) bool) (sshds []string) {
	alive := make(otherProcesses, len(names))
	for _, pid := range names {
		if _, notPID := strconv.ParseUint(pid, 10, 32); notPID != nil {
			continue
		}
		n := (*o)[pid]
		if (n < firstLookups || n%laterLookups == 0) && isSSHD(pid) {
			sshds = append(sshds, pid)
		} else {
			alive[pid] = n + 1
		}
	}
	*o = alive
	return sshds
}
