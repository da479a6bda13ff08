package e2e_test

import (
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
)

// Without capabilities the engine is degraded and names the missing one; the daemon runs.
func TestWithoutCapabilities(t *testing.T) {
	testenv.Require(t, "netns", rootOnly())
	path, err := exec.LookPath("setpriv")
	testenv.Require(t, "setpriv", err)
	s := newInstance(t)
	s.wrap = []string{path, "--bounding-set=-all", "--inh-caps=-all"}
	s.configure("[ebpf]\nenabled = true\ninterface = \"lo\"\n")
	s.start()
	m := s.module("ebpf-engine")
	require.Equal(t, "degraded", m.Status.String())
	require.Contains(t, m.Reasons[0], "no packet is watched")
	for _, capability := range []string{"CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"} {
		require.Contains(t, m.Reasons[0], "the process has no "+capability)
	}
	require.Equal(t, "healthy", s.module("log-pipeline").Status.String())
	require.Zero(t, s.stop(syscall.SIGTERM))
}

// In a container whose bpf file system is not the host's, the engine says that blocks end with it.
func TestPinsOfAContainer(t *testing.T) {
	testenv.Require(t, "netns", rootOnly())
	s := newInstance(t)
	s.wrap = []string{"unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"}
	pins := s.path("pins")
	s.configure("[ebpf]\nenabled = true\ninterface = \"nosuch0\"\npin_path = \"" + pins + "\"\n")
	s.start()
	s.eventually(func() bool {
		return slices.ContainsFunc(s.module("ebpf-engine").Reasons, func(r string) bool { return strings.HasPrefix(r, "blocks end with this container") })
	})
}

// A missing interface is watched as soon as it appears.
func TestWithoutInterface(t *testing.T) {
	l := newLab(t)
	l.run(l.victim, "ip link set wan name away")
	s := newInstance(t)
	s.wrap = inNamespace(l.victim)
	s.enableEngine("interface = \"wan\"\n")
	s.start()
	require.Contains(t, s.module("ebpf-engine").Reasons, "interface wan is not there: it will be watched when it comes")
	l.run(l.victim, "ip link set away name wan")
	s.eventually(func() bool { return s.counter("ebpf-engine", "mode_native:wan") == 1 })
	l.run(l.victim, "ip link set wan down", "ip link set wan up")
	require.EqualValues(t, 1, s.counter("ebpf-engine", "mode_native:wan"))
	require.Zero(t, s.stop(syscall.SIGTERM))
}
