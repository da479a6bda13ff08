// Package memlimit tells the Go runtime how much memory the process may have, which it does not find out itself:
// without that the heap grows until the kernel kills the process.
package memlimit

import (
	"io/fs"
	"math"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// Variable is the one by which the runtime is told itself.
const Variable = "GOMEMLIMIT"

// share is the percentage of the limit that the runtime may use; the rest is for what it does not count, such as
// mapped files and the buffers of the kernel.
const share = 85

// Apply limits the memory of the runtime to most of what the control group of the process may have, unless
// GOMEMLIMIT says otherwise. It returns the limit of the group, 0 if there is none. root is the root of the file system.
func Apply(root fs.FS, getenv func(string) string) int64 {
	limit := Limit(root)
	if limit > 0 && getenv(Variable) == "" {
		debug.SetMemoryLimit(limit / 100 * share)
	}
	return limit
}

// Limit returns how many bytes the control group of the process may have, 0 if there is no limit or it is not known.
func Limit(root fs.FS) int64 {
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0
	}
	least := int64(math.MaxInt64)
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		switch {
		case fields[1] == "memory":
			least = min(least, version1(root, fields[2]))
		case fields[0] == "0":
			least = min(least, version2(root, fields[2]))
		}
	}
	if least > math.MaxInt64/2 { // version 1 has no word for none
		return 0
	}
	return least
}

// version1 returns the least limit of group and those above it. Within a container group may be its name outside,
// and the folder that of the container.
func version1(root fs.FS, group string) int64 {
	for _, dir := range []string{path.Join("sys/fs/cgroup/memory", group), "sys/fs/cgroup/memory"} {
		text, err := fs.ReadFile(root, path.Join(dir, "memory.stat"))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if value, found := strings.CutPrefix(line, "hierarchical_memory_limit "); found {
				return number(value)
			}
		}
	}
	return math.MaxInt64
}

// version2 returns the least limit of group and those above it.
func version2(root fs.FS, group string) int64 {
	least := int64(math.MaxInt64)
	for dir := path.Join("/", group); ; dir = path.Dir(dir) {
		text, err := fs.ReadFile(root, path.Join("sys/fs/cgroup", dir, "memory.max"))
		if err == nil {
			least = min(least, number(string(text)))
		}
		if dir == "/" {
			return least
		}
	}
}

// number returns a limit; "max" and what is no positive number are none.
func number(text string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || n <= 0 {
		return math.MaxInt64
	}
	return n
}
