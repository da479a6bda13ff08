package logpipeline

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/services/logpipeline/journal"
	"github.com/ironpost/ironpost/services/logpipeline/tail"
)

// Why a line is not judged: another input has it, or it is of this program, whose alerts quote lines, which are no new ones.
const (
	inDocker    = "read_through_docker"
	ofIronpost  = "of_ironpost"
	inAuditLog  = "in_audit_log"
	inKernelLog = "in_kernel_log"
)

// auditLog is what the path of auditd's file ends with, also where the files of the host are mounted elsewhere.
const auditLog = "/var/log/audit/audit.log"

// leavesOut returns why an entry is not judged, "" if it is.
func (d *decoder) leavesOut(c *chunk, e journal.Entry) string {
	if !e.Local {
		return ""
	}
	exe := e.Get("_EXE")
	switch {
	case d.self.exe != "" && e.Get("_UID") == d.self.uid && filepath.Dir(exe) == filepath.Dir(d.self.exe) && strings.HasPrefix(filepath.Base(exe), "ironpost"):
		return ofIronpost
	case isRuntime(e) && isProgram(exe, "dockerd") && d.docker.Covers():
		return inDocker
	case e.Get("_TRANSPORT") == "audit" && !e.Backlog && d.isInAuditLog(c, e):
		return inAuditLog
	}
	return ""
}

// isInAuditLog reports whether an audit entry is in a file of auditd that is followed: it was written to since the kernel made the record,
// which auditd does at once and in order. So it is not if auditd has ended, or if the file cannot be read. Of what was written before the
// pipeline ran this would prove nothing: auditd may have been started in between.
func (d *decoder) isInAuditLog(c *chunk, e journal.Entry) bool {
	micros, err := strconv.ParseInt(e.Get("_SOURCE_REALTIME_TIMESTAMP"), 10, 64)
	if err != nil {
		return false
	}
	at := time.UnixMicro(micros)
	return slices.ContainsFunc(c.inputs.audit, func(path string) bool { return !d.tailer.Modified(path).Before(at) })
}

// isKernelLine reports whether a line of a syslog daemon's file is of the kernel of this machine, whose log is read from its device.
func (d *decoder) isKernelLine(in *input, line tail.Line) bool {
	return in.Process == "kernel" && !line.Backlog && d.host != "" && strings.EqualFold(d.host, shortName(in.Host)) &&
		slices.ContainsFunc(syslogFiles, func(path string) bool { return strings.HasSuffix(line.Path, path) }) && d.kernel.Covers(in.time)
}

// shortHostname returns the name of this machine without its domain, as syslog daemons write it; "" if it is not known.
func shortHostname() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return shortName(name)
}

func shortName(host string) string {
	name, _, _ := strings.Cut(host, ".")
	return name
}
