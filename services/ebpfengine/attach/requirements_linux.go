package attach

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// kernelBTF is where the kernel describes its own types (CONFIG_DEBUG_INFO_BTF).
const kernelBTF = "/sys/kernel/btf/vmlinux"

// MissingRequirements returns the requirements for XDP that this process and kernel are known not to meet. They are the cause of
// an error of the kernel, which says no more than "operation not permitted".
func MissingRequirements() []string {
	var out []string
	have, err := effectiveCapabilities()
	if err == nil && have&(1<<unix.CAP_SYS_ADMIN) == 0 {
		for _, c := range []struct {
			name string
			bit  int
		}{{"CAP_BPF", unix.CAP_BPF}, {"CAP_NET_ADMIN", unix.CAP_NET_ADMIN}, {"CAP_PERFMON", unix.CAP_PERFMON}} {
			if have&(1<<c.bit) == 0 {
				out = append(out, "the process has no "+c.name)
			}
		}
	}
	if _, err := os.Stat(kernelBTF); errors.Is(err, fs.ErrNotExist) {
		out = append(out, "the kernel has no BTF ("+kernelBTF+")")
	}
	return out
}

// effectiveCapabilities returns the capabilities of this thread as bits (capabilities(7)).
func effectiveCapabilities() (uint64, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return 0, err
	}
	return uint64(data[1].Effective)<<32 | uint64(data[0].Effective), nil
}
