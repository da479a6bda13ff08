package logpipeline

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline/journal"
)

// writers are the programs that alone write the lines of a name, relative to one of programDirs or absolute. The name is what the line
// claims (SYSLOG_IDENTIFIER), the program what journald saw (_EXE).
var writers = map[string][]string{
	"sshd":           {"sshd", "/usr/lib/openssh/sshd-session", "/usr/libexec/openssh/sshd-session", "/usr/lib/ssh/sshd-session", "/usr/libexec/sshd-session"},
	"sshd-session":   {"/usr/lib/openssh/sshd-session", "/usr/libexec/openssh/sshd-session", "/usr/lib/ssh/sshd-session", "/usr/libexec/sshd-session"},
	"sshd-auth":      {"/usr/lib/openssh/sshd-auth", "/usr/libexec/openssh/sshd-auth", "/usr/lib/ssh/sshd-auth", "/usr/libexec/sshd-auth"},
	"sudo":           {"sudo", "sudo-rs", "/usr/lib/cargo/bin/sudo"},
	"su":             {"su"},
	"login":          {"login"},
	"useradd":        {"useradd"},
	"usermod":        {"usermod"},
	"userdel":        {"userdel"},
	"groupadd":       {"groupadd"},
	"groupmod":       {"groupmod"},
	"groupdel":       {"groupdel"},
	"passwd":         {"passwd"},
	"chpasswd":       {"chpasswd"},
	"gpasswd":        {"gpasswd"},
	"cron":           {"cron"},
	"CRON":           {"cron"},
	"crond":          {"crond"},
	"crontab":        {"crontab"},
	"anacron":        {"anacron"},
	"systemd":        {"/usr/lib/systemd/systemd", "/lib/systemd/systemd"},
	"systemd-logind": {"/usr/lib/systemd/systemd-logind", "/lib/systemd/systemd-logind"},
	"polkitd":        {"/usr/lib/polkit-1/polkitd", "/usr/libexec/polkitd"},
	"nginx":          {"nginx"},
	"apache":         {"apache2", "httpd"},
	"apache2":        {"apache2"},
	"httpd":          {"httpd"},
	"vsftpd":         {"vsftpd"},
	"named":          {"named"},
	"dnsmasq":        {"dnsmasq"},
	"unbound":        {"unbound"},
	"haproxy":        {"haproxy"},
	"sysmon":         {"/opt/sysmon/sysmon"},
	"dovecot":        {"/usr/libexec/dovecot/log", "/usr/lib/dovecot/log", "dovecot"},
}

// setuidPrograms are those of writers that any user can start as root. They write their records to syslog. What they print goes where the user
// says, who names the program of a stream to journald, and has the text of the user in it ("sudo: unknown user …").
var setuidPrograms = []string{"sudo", "su", "login", "passwd", "gpasswd", "crontab"}

var programDirs = []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// runtimes are the programs that write the output of containers to the journal.
var runtimes = []string{"dockerd", "conmon"}

// containerGroups are parts of the control groups of containers: a root in one is no root of the host.
var containerGroups = []string{"docker", "libpod", "kubepods", "crio", "cri-containerd", "containerd", "machine.slice", "lxc", "garden"}

// journalOrigin returns where an entry came from and how far that is proven. process is the program that the line names. The fields that
// journald adds prove the writer, if journald of this machine added them: of a process of root, because another one can become the
// program after it has written.
func journalOrigin(e journal.Entry, process string) (event.Origin, event.Trust) {
	o := event.Origin{Transport: event.TransportJournald, Source: e.Stream}
	if !e.Local {
		return o, event.TrustUnproven
	}
	o.Exe, o.Unit = e.Get("_EXE"), e.Get("_SYSTEMD_UNIT")
	if uid, err := strconv.ParseUint(e.Get("_UID"), 10, 32); err == nil {
		id := uint32(uid)
		o.UID = &id
	}
	switch e.Get("_TRANSPORT") {
	case "audit":
		return o, event.TrustHost
	case "kernel":
		if e.Get("SYSLOG_FACILITY") == "0" { // a program wrote the others to /dev/kmsg
			return o, event.TrustHost
		}
		return o, event.TrustUnproven
	}
	if o.UID == nil || *o.UID != 0 || inContainer(e) {
		return o, event.TrustUnproven
	}
	switch {
	case isRuntime(e):
		o.Container = e.Get("CONTAINER_ID_FULL")
		return o, event.TrustContainer
	case e.Get("_TRANSPORT") == "stdout" && slices.Contains(setuidPrograms, process):
		return o, event.TrustUnproven
	case isProvenWriter(process, o):
		return o, event.TrustHost
	}
	return o, event.TrustUnproven
}

// isProvenWriter reports whether o proves that the program process wrote a line: it is of root, because another one can become the program
// after it has written.
func isProvenWriter(process string, o event.Origin) bool {
	return o.UID != nil && *o.UID == 0 && slices.ContainsFunc(writers[process], func(program string) bool { return isProgram(o.Exe, program) })
}

// isProgram reports whether exe is program, which is absolute or in one of programDirs.
func isProgram(exe, program string) bool {
	if filepath.IsAbs(program) {
		return exe == program
	}
	return filepath.Base(exe) == program && slices.Contains(programDirs, filepath.Dir(exe))
}

// inContainer reports whether a container wrote an entry: the paths of its programs are of its own files.
func inContainer(e journal.Entry) bool {
	groups := e.Get("_SYSTEMD_CGROUP") + "/" + e.Get("_SYSTEMD_UNIT")
	if isRuntime(e) { // docker.service
		return false
	}
	return slices.ContainsFunc(containerGroups, func(part string) bool { return strings.Contains(groups, part) })
}

// isRuntime reports whether a runtime of containers wrote the output of one of them as an entry.
func isRuntime(e journal.Entry) bool {
	return e.Local && e.Get("_UID") == "0" && e.Get("CONTAINER_ID_FULL") != "" &&
		slices.ContainsFunc(runtimes, func(program string) bool { return isProgram(e.Get("_EXE"), program) })
}

// process is a program and the user that it runs as.
type process struct{ exe, uid string }

func thisProcess() process {
	exe, err := os.Executable()
	if err != nil {
		return process{}
	}
	return process{exe: exe, uid: strconv.Itoa(os.Getuid())}
}
