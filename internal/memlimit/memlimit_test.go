package memlimit_test

import (
	"math"
	"runtime/debug"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/memlimit"
)

func files(pairs ...string) fstest.MapFS {
	root := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		root[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return root
}

const (
	v1 = "9:name=systemd:/\n4:memory:/docker/abc\n1:cpu:/\n0::/\n"
	v2 = "0::/system.slice/ironpost.service\n"
)

func TestLimit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		root fstest.MapFS
		want int64
	}{
		"no control groups": {files(), 0},
		"version 1": {files("proc/self/cgroup", v1,
			"sys/fs/cgroup/memory/docker/abc/memory.stat", "cache 7\nhierarchical_memory_limit 134217728\nhierarchical_memsw_limit 9\n"), 128 << 20},
		"version 1 in a container": {files("proc/self/cgroup", v1,
			"sys/fs/cgroup/memory/memory.stat", "hierarchical_memory_limit 134217728\n"), 128 << 20},
		"version 1 without a limit": {files("proc/self/cgroup", v1,
			"sys/fs/cgroup/memory/docker/abc/memory.stat", "hierarchical_memory_limit 9223372036854771712\n"), 0},
		"version 2": {files("proc/self/cgroup", v2,
			"sys/fs/cgroup/system.slice/ironpost.service/memory.max", "268435456\n", "sys/fs/cgroup/system.slice/memory.max", "max\n"), 256 << 20},
		"version 2, a group above": {files("proc/self/cgroup", v2,
			"sys/fs/cgroup/system.slice/ironpost.service/memory.max", "max\n", "sys/fs/cgroup/system.slice/memory.max", "134217728\n"), 128 << 20},
		"version 2 in a container": {files("proc/self/cgroup", "0::/\n", "sys/fs/cgroup/memory.max", "134217728\n"), 128 << 20},
		"garbage":                  {files("proc/self/cgroup", "memory\n0::/../..\n", "sys/fs/cgroup/memory.max", "-1"), 0},
	} {
		require.Equal(t, c.want, memlimit.Limit(c.root), name)
	}
}

func TestApply(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	root := files("proc/self/cgroup", "0::/\n", "sys/fs/cgroup/memory.max", "1000000000\n")
	named := func(string) string { return "1GiB" }
	unnamed := func(string) string { return "" }

	require.EqualValues(t, 1000000000, memlimit.Apply(root, named))
	require.Equal(t, before, debug.SetMemoryLimit(-1), "what the operator says stands")
	require.Zero(t, memlimit.Apply(files(), unnamed))
	require.EqualValues(t, math.MaxInt64, debug.SetMemoryLimit(-1))
	require.EqualValues(t, 1000000000, memlimit.Apply(root, unnamed))
	require.EqualValues(t, 850000000, debug.SetMemoryLimit(-1))
}
