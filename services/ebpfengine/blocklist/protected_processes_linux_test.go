package blocklist_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
)

// A process that is not sshd is examined seldom; sshd, and a process that becomes sshd, are found.
func TestFewProcessesAreExamined(t *testing.T) {
	t.Parallel()
	var others blocklist.OtherProcesses
	examined := map[string]int{}
	sshd := map[string]bool{"7": true}
	lookup := func(names ...string) []string {
		return others.Remove(names, func(pid string) bool {
			examined[pid]++
			return sshd[pid]
		})
	}
	for range 60 {
		require.Equal(t, []string{"7"}, lookup("self", "7", "8", "9"))
	}
	require.Equal(t, map[string]int{"7": 60, "8": 3 + 4, "9": 3 + 4}, examined)
	sshd["8"] = true
	for n := 0; len(lookup("7", "8", "9")) < 2; n++ {
		require.Less(t, n, 12, "one minute")
	}
	require.Equal(t, []string{"8"}, lookup("8"))
	lookup("7")
	sshd["9"] = true
	require.Equal(t, []string{"9"}, lookup("9"), "9 had ended and is another process")
}
