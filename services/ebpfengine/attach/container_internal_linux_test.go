package attach

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSourceOfAMount(t *testing.T) {
	t.Parallel()
	const mounts = "22 1 0:20 / / rw - overlay overlay rw\n" +
		"30 22 0:26 / /sys/fs/bpf rw,nosuid shared:9 - bpf bpf rw,mode=700\n" +
		"31 30 0:27 / /sys/fs/bpf/own rw - bpf bpf-of-container rw\nbroken\n"
	for path, want := range map[string]string{
		"/sys/fs/bpf/ironpost/net-1": "bpf", "/sys/fs/bpf/own": "bpf-of-container", "/sys/fs/bpf/own/net-1": "bpf-of-container",
		"/sys/fs/bpf/ownother": "bpf", "/var": "overlay",
	} {
		require.Equal(t, want, sourceOf(mounts, path), path)
	}
}
