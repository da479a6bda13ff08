package syslog

import (
	"bytes"
	"encoding/binary"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ticks is how many of the units of /proc/PID/stat are in a second; the kernel shows it to programs as 100 on every architecture of Go.
const ticks = 100

// localSender is the process that sent a datagram, as the kernel knows it. The zero value is an unknown one.
type localSender struct {
	uid *uint32
	exe string // "" if the process had ended, or has not the files of the host
}

// bootTime returns the time of the boot by the clock that may be set, since 1970.
func bootTime() time.Duration {
	var boot, wall unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) // neither fails for these clocks
	_ = unix.ClockGettime(unix.CLOCK_REALTIME, &wall)
	return time.Duration(wall.Nano() - boot.Nano())
}

// senderOf returns the sender of a datagram with the control messages oob: its credentials (unix(7), SCM_CREDENTIALS) and when it was
// sent.
func senderOf(oob []byte) (from localSender) {
	messages, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return from
	}
	var cred *syscall.Ucred
	var sent time.Duration
	for _, m := range messages {
		switch {
		case m.Header.Level == syscall.SOL_SOCKET && m.Header.Type == syscall.SCM_CREDENTIALS:
			cred, _ = syscall.ParseUnixCredentials(&m) // nil if it is too short
		case m.Header.Level == syscall.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= 16:
			at := unix.Timespec{Sec: int64(binary.NativeEndian.Uint64(m.Data)), Nsec: int64(binary.NativeEndian.Uint64(m.Data[8:]))}
			sent = time.Duration(at.Nano()) - bootTime()
		}
	}
	if cred == nil {
		return from
	}
	from.uid = &cred.Uid
	if cred.Pid > 0 && sent > 0 {
		from.exe = programOf(int(cred.Pid), cred.Uid, sent)
	}
	return from
}

// programOf returns the program that process pid runs, "" if the process is not the one that had the number and ran as uid at sent, since
// boot. The process is held while it is looked at, so that no other one takes its number in between.
func programOf(pid int, uid uint32, sent time.Duration) string {
	held, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return ""
	}
	defer func() { _ = unix.Close(held) }() // it has no data
	dir := "/proc/" + strconv.Itoa(pid)
	var st unix.Stat_t
	if unix.Stat(dir, &st) != nil || st.Uid != uid || begunAt(dir) > sent || !sameFiles(dir) {
		return ""
	}
	exe, err := os.Readlink(dir + "/exe")
	if err != nil || unix.PidfdSendSignal(held, 0, nil, 0) == unix.ESRCH {
		return ""
	}
	return exe
}

// sameFiles reports whether the process of a folder of /proc has the mounts of the host, or of this process: elsewhere, as in a container, a path may
// lead to any program.
func sameFiles(dir string) bool {
	of, err := os.Readlink(dir + "/ns/mnt")
	host, _ := os.Readlink("/proc/1/ns/mnt") // "" if it may not be read
	own, _ := os.Readlink("/proc/self/ns/mnt")
	return err == nil && (of == host || of == own)
}

// begunAt returns when the process of a folder of /proc began, since boot, rounded down; far in the future if that cannot be read.
func begunAt(dir string) time.Duration {
	const never = 1 << 62
	text, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return never
	}
	// The name in parentheses may hold anything; the start time is field 22, the 20th after it (proc_pid_stat(5)).
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return never
	}
	n, err := strconv.ParseInt(string(fields[19]), 10, 64)
	if err != nil || n > never/int64(time.Second) {
		return never
	}
	return time.Duration(n) * time.Second / ticks
}
