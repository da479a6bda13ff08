package ebpfengine_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/ebpfengine"
)

// unprivileged is a user without any right of its own.
const unprivileged = 64646

// The environment of the process that TestAsUserWithCapabilities runs in.
const (
	capabilityInterface = "IRONPOST_TEST_CAPABILITY_INTERFACE"
	capabilityPins      = "IRONPOST_TEST_CAPABILITY_PINS"
	capabilityMissing   = "IRONPOST_TEST_CAPABILITY_MISSING" // empty: none
)

func capabilities() map[string]uintptr {
	return map[string]uintptr{"CAP_BPF": unix.CAP_BPF, "CAP_NET_ADMIN": unix.CAP_NET_ADMIN, "CAP_PERFMON": unix.CAP_PERFMON}
}

// The engine needs three capabilities, no user and no other capability; each that is missing is named.
func TestThreeCapabilitiesAreEnoughAndEachIsNamed(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	_ = config(t, w.name) // requires what the engine needs
	for _, missing := range []string{"", "CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"} {
		base, err := os.MkdirTemp("", "ironpostcap") //nolint:usetesting // the folders of t.TempDir are root's alone
		require.NoError(t, err)
		t.Cleanup(func() { _ = os.RemoveAll(base) })
		require.NoError(t, os.Chmod(base, 0o711))
		pins := filepath.Join(base, "pins")
		require.NoError(t, os.Mkdir(pins, 0o700))
		require.NoError(t, unix.Mount("bpf", pins, "bpf", 0, "mode=0700"))
		t.Cleanup(func() { _ = unix.Unmount(pins, unix.MNT_DETACH) })
		require.NoError(t, os.Chown(pins, unprivileged, unprivileged))

		var ambient []uintptr
		for name, capability := range capabilities() {
			if name != missing {
				ambient = append(ambient, capability)
			}
		}
		cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestAsUserWithCapabilities$", "-test.v") // this binary
		cmd.Dir = "/"
		cmd.Env = append(os.Environ(), "TMPDIR=/tmp", "HOME=/", capabilityInterface+"="+w.name, capabilityPins+"="+pins, capabilityMissing+"="+missing)
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: unprivileged, Gid: unprivileged}, AmbientCaps: ambient, Pdeathsig: syscall.SIGKILL,
		}
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "without %q: %s", missing, out)
		require.Contains(t, string(out), "--- PASS: TestAsUserWithCapabilities")
	}
}

// TestAsUserWithCapabilities runs in the process that TestThreeCapabilitiesAreEnoughAndEachIsNamed starts; by itself it has nothing
// to do.
func TestAsUserWithCapabilities(t *testing.T) {
	t.Parallel()
	name := os.Getenv(capabilityInterface)
	if name == "" {
		return
	}
	testenv.Require(t, "netns", testenv.InOwnNetwork())
	require.Equal(t, unprivileged, os.Geteuid())
	cfg := ebpfengine.DefaultConfig()
	cfg.Interface, cfg.PinPath = name, os.Getenv(capabilityPins)
	r := begin(t, bustest.New(t), cfg)
	missing := os.Getenv(capabilityMissing)
	if missing == "" {
		require.Equal(t, event.Healthy, r.Health().Status, "%v", r.Health().Reasons)
		require.EqualValues(t, 1, r.Health().Counters["mode_native:"+name])
		require.EqualValues(t, 1, r.Health().Counters["egress:"+name])
		pinned, err := filepath.Glob(cfg.PinPath + "/net-*/xdp_*")
		require.NoError(t, err)
		require.Len(t, pinned, 1)
		require.NoError(t, os.Remove(pinned[0])) // detaches for the next
		return
	}
	require.Equal(t, event.Degraded, r.Health().Status)
	for capability := range capabilities() {
		named := r.reason("the process has no " + capability)
		require.Equal(t, capability == missing, named, "%s: %v", capability, r.Health().Reasons)
	}
}
