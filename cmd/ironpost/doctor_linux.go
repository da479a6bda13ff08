package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/cmd/internal/suite"
)

// What Ironpost needs of the disk and of the clock.
const (
	leastFree   = 1 << 30
	leastInodes = 10_000
	firstYear   = 2025 // an earlier clock was never set
)

// capabilities are those of the unit of the package.
var capabilities = []struct {
	name string
	bit  uint
}{{"CAP_NET_ADMIN", unix.CAP_NET_ADMIN}, {"CAP_PERFMON", unix.CAP_PERFMON}, {"CAP_BPF", unix.CAP_BPF}}

// examineSystem checks what the kernel gives.
func examineSystem(e *examination, c suite.Config) {
	examineClock(e)
	if !c.EBPF.Enabled {
		for _, name := range []string{"kernel", "btf", "bpffs"} {
			e.skip(name, "the packet engine is not enabled")
		}
	} else {
		examineKernel(e)
	}
	examineCapabilities(e, c)
	examineCgroups(e, c)
}

func examineKernel(e *examination) {
	release := kernelRelease()
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil || major < 5 || major == 5 && minor < 15 {
		e.find("kernel", "apt-get install linux-image-amd64 && reboot", "%s is older than 5.15, which the packet engine needs", release)
	} else {
		e.ok("kernel", "%s", release)
	}
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err != nil {
		e.find("btf", "grep CONFIG_DEBUG_INFO_BTF /boot/config-$(uname -r)", "the kernel has no BTF: %v; use one built with CONFIG_DEBUG_INFO_BTF", err)
	} else {
		e.ok("btf", "/sys/kernel/btf/vmlinux is there")
	}
	var at unix.Statfs_t
	if err := unix.Statfs("/sys/fs/bpf", &at); err != nil || at.Type != unix.BPF_FS_MAGIC {
		e.find("bpffs", "mount -t bpf bpf /sys/fs/bpf", "no bpf file system at /sys/fs/bpf: blocks end when the daemon does")
	} else {
		e.ok("bpffs", "mounted at /sys/fs/bpf")
	}
}

func kernelRelease() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(name.Release[:])
}

// examineCapabilities looks at the running daemon, or at this process.
func examineCapabilities(e *examination, c suite.Config) {
	if !c.EBPF.Enabled && !c.Container.Enabled {
		e.skip("capabilities", "no enabled module needs any")
		return
	}
	who, process := "this user", "self"
	if e.Daemon {
		if pid, err := os.ReadFile(c.General.PIDFile); err == nil {
			if _, err := strconv.Atoi(strings.TrimSpace(string(pid))); err == nil {
				who, process = "the daemon", strings.TrimSpace(string(pid))
			}
		}
	}
	effective, err := effectiveCapabilities(process)
	if err != nil {
		e.skip("capabilities", err.Error())
		return
	}
	var missing []string
	for _, want := range capabilities {
		if effective&(1<<want.bit) == 0 {
			missing = append(missing, want.name)
		}
	}
	if len(missing) > 0 {
		e.find("capabilities", "systemctl edit ironpost # AmbientCapabilities="+strings.Join(missing, " "), "%s lacks %s", who, strings.Join(missing, ", "))
		return
	}
	e.ok("capabilities", "%s has CAP_NET_ADMIN, CAP_PERFMON and CAP_BPF", who)
}

// effectiveCapabilities reads CapEff of proc(5).
func effectiveCapabilities(process string) (uint64, error) {
	text, err := os.ReadFile(filepath.Join("/proc", process, "status"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "CapEff:"); ok {
			return strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		}
	}
	return 0, errors.New("/proc does not say which capabilities are effective")
}

func examineCgroups(e *examination, c suite.Config) {
	if !c.Container.Enabled {
		e.skip("cgroups", "the container guard is not enabled")
		return
	}
	switch _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); {
	case err == nil:
		e.ok("cgroups", "version 2")
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Stat("/sys/fs/cgroup/freezer"); err == nil {
			e.ok("cgroups", "version 1, with the freezer")
			return
		}
		fallthrough
	default:
		e.find("cgroups", "mount -t cgroup2 none /sys/fs/cgroup", "no cgroups at /sys/fs/cgroup: containers cannot be frozen")
	}
}

// examineClock checks that the clock is set, and that the kernel knows it synchronised (adjtimex(2)).
func examineClock(e *examination) {
	now := time.Now()
	if now.Year() < firstYear {
		e.find("clock", "timedatectl set-ntp true", "it says %s: alerts would be too old to act on", now.UTC().Format(time.RFC3339))
		return
	}
	var state unix.Timex
	if _, err := unix.Adjtimex(&state); err != nil {
		e.skip("clock", "the kernel does not say whether it is synchronised: "+err.Error())
		return
	}
	if state.Status&unix.STA_UNSYNC != 0 {
		e.find("clock", "timedatectl set-ntp true", "it is not synchronised, so hosts may disagree about what came first")
		return
	}
	e.ok("clock", "synchronised")
}

// examineData checks the disk of data_dir, or of the folder that it will be in.
func examineData(e *examination, c suite.Config) {
	dir := c.General.DataDir
	for {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) || dir == "/" {
			break
		}
		dir = filepath.Dir(dir)
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil {
		e.find("disk", "ls -ld "+dir, "%s: %v", dir, err)
		return
	}
	free := disk.Bavail * uint64(disk.Bsize)
	switch {
	case free < leastFree:
		e.find("disk", "df -h "+dir, "%s has %s free, less than 1 GiB", dir, byteSize(free))
	case disk.Files > 0 && disk.Ffree < leastInodes:
		e.find("disk", "df -i "+dir, "%s has %d inodes free", dir, disk.Ffree)
	default:
		e.ok("disk", "%s has %s free", dir, byteSize(free))
	}
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil && !e.Daemon {
		e.find("permissions", "chown -R ironpost: "+c.General.DataDir, "this user may not write to %s", dir)
		return
	}
	e.ok("permissions", "the data folder can be written")
}
