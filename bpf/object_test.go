package bpf_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/internal/testenv"
)

// The helpers, map types and map flags that the XDP program may use, with the kernel that introduced them (include/uapi/linux/bpf.h
// by release). None is newer than 5.15, the oldest supported kernel.
var (
	helpers515 = map[asm.BuiltinFunc]string{
		asm.FnMapLookupElem: "3.19", asm.FnMapUpdateElem: "3.19", asm.FnGetSmpProcessorId: "4.1", asm.FnJiffies64: "5.5", asm.FnRingbufReserve: "5.8",
		asm.FnRingbufSubmit: "5.8", asm.FnKtimeGetCoarseNs: "5.11",
	}
	maps515  = map[ebpf.MapType]string{ebpf.Hash: "3.19", ebpf.Array: "3.19", ebpf.LRUHash: "4.10", ebpf.RingBuf: "5.8"}
	flags515 = uint32(1<<0 | 1<<7 | 1<<10) // no_prealloc 4.6, rdonly_prog 5.2, mmapable 5.5
)

// maxVerified bounds the instructions that the verifier walks; the kernel's bound is a million. Their number grows with the paths
// through the program: Linux 6.18 walks 39,000, Linux 6.1 57,000.
const maxVerified = 100_000

func TestProgramUsesNothingNewerThan515(t *testing.T) {
	t.Parallel()
	spec, _, err := bpf.LoadSpec()
	require.NoError(t, err)
	for _, m := range spec.Maps {
		require.Contains(t, maps515, m.Type, m.Name)
		require.Zero(t, m.Flags&^flags515, "%s has flags %#x", m.Name, m.Flags)
		require.LessOrEqual(t, m.ValueSize, uint32(4<<20), "%s: KMALLOC_MAX_SIZE bounds an array's value before 6.x", m.Name)
	}
	require.Len(t, spec.Programs, 1)
	for _, p := range spec.Programs {
		require.Equal(t, ebpf.XDP, p.Type)
		used := checkInstructions(t, p.Instructions, helpers515)
		require.Len(t, used, len(helpers515), "helpers515 must list no more than is used: %v", used)
	}
}

func TestCutUsesNothingNewerThan515(t *testing.T) {
	t.Parallel()
	helpers := map[asm.BuiltinFunc]string{
		asm.FnMapLookupElem: "3.19", asm.FnMapUpdateElem: "3.19", asm.FnSkbStoreBytes: "4.1", asm.FnL4CsumReplace: "4.1", asm.FnRedirect: "4.4",
		asm.FnSkbLoadBytes: "4.5",
	}
	spec, err := bpf.LoadCutSpec()
	require.NoError(t, err)
	require.Len(t, spec.Programs, 2)
	for _, p := range spec.Programs {
		require.Equal(t, ebpf.SchedCLS, p.Type)
		checkInstructions(t, p.Instructions, helpers)
	}
	for _, m := range spec.Maps {
		require.Contains(t, maps515, m.Type, m.Name)
	}
}

func checkInstructions(t *testing.T, instructions asm.Instructions, helpers map[asm.BuiltinFunc]string) map[asm.BuiltinFunc]bool {
	t.Helper()
	used := map[asm.BuiltinFunc]bool{}
	for _, ins := range instructions {
		require.False(t, ins.IsKfuncCall(), "%v: kernel functions are no stable interface", ins)
		if ins.IsBuiltinCall() {
			fn := asm.BuiltinFunc(ins.Constant)
			require.Contains(t, helpers, fn)
			used[fn] = true
		}
		if ins.OpCode.Class() == asm.StXClass && ins.OpCode.Mode() == asm.AtomicMode {
			require.Equal(t, asm.AddAtomic, ins.OpCode.AtomicOp(), "other atomics came with 5.12 and later")
		}
	}
	return used
}

// The committed objects are those that clang makes from the sources. Another clang makes other code, so the test requires that of
// Debian 12, which made them.
func TestCommittedObjectsMatchTheSources(t *testing.T) {
	t.Parallel()
	version, err := exec.Command("clang", "--version").CombinedOutput()
	if err == nil && !strings.Contains(string(version), "version 14.0.6") {
		err = fmt.Errorf("need clang 14.0.6, have %s", strings.SplitN(string(version), "\n", 2)[0])
	}
	testenv.Require(t, "clang", err)
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(filepath.Join(dir, "src"), os.DirFS("src")))
	source, err := os.ReadFile("generate.go")
	require.NoError(t, err)
	for line := range strings.Lines(string(source)) {
		command, found := strings.CutPrefix(strings.TrimSpace(line), "//go:generate ")
		if found {
			generate(t, dir, command)
		}
	}
	for _, pattern := range []string{"*_bpfel.o", "*_bpfel.go"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.Len(t, files, 3)
		for _, name := range files {
			want, err := os.ReadFile(filepath.Join(dir, name))
			require.NoError(t, err)
			have, err := os.ReadFile(name)
			require.NoError(t, err)
			require.True(t, bytes.Equal(want, have), "%s does not match its source: run `go generate ./bpf`", name)
		}
	}
}

// generate runs a go:generate line with its output in dir.
func generate(t *testing.T, dir, command string) {
	t.Helper()
	command = strings.Replace(command, "bpf2go", "bpf2go -output-dir "+dir, 1)
	cmd := exec.Command("sh", "-c", command)
	cmd.Env = append(os.Environ(), "GOPACKAGE=bpf", "GOFILE=generate.go")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}
