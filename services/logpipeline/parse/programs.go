package parse

import "github.com/ironpost/ironpost/sigma"

// programs are the programs whose messages are parsed, by the name in the syslog
// tag, with the service of their logsource. Messages of those without parse are parsed by their content.
var programs = map[string]struct {
	service string
	parse   func(*Event)
}{
	"sshd":           {"sshd", parseSSHD},
	"sshd-session":   {"sshd", parseSSHD}, // sshd is split since OpenSSH 9.8
	"sshd-auth":      {"sshd", parseSSHD},
	"sudo":           {"sudo", parseSudo},
	"sudo-rs":        {"sudo", parseSudo},
	"doas":           {"sudo", parseDoas},
	"su":             {"auth", parseSu},
	"login":          {"auth", parseSu},
	"useradd":        {"auth", parseAccount},
	"usermod":        {"auth", parseAccount},
	"userdel":        {"auth", parseAccount},
	"groupadd":       {"auth", parseAccount},
	"groupmod":       {"auth", parseAccount},
	"groupdel":       {"auth", parseAccount},
	"passwd":         {"auth", parseAccount},
	"chpasswd":       {"auth", parseAccount},
	"gpasswd":        {"auth", parseAccount},
	"cron":           {"cron", parseCron},
	"CRON":           {"cron", parseCron},
	"crond":          {"cron", parseCron},
	"crontab":        {"cron", parseCron},
	"anacron":        {"cron", parseCron},
	"adduser":        {"auth", parseAccount},
	"addgroup":       {"auth", parseAccount},
	"deluser":        {"auth", parseAccount},
	"delgroup":       {"auth", parseAccount},
	"chage":          {"auth", parseAccount},
	"chsh":           {"auth", parseAccount},
	"chfn":           {"auth", parseAccount},
	"newusers":       {"auth", parseAccount},
	"CROND":          {"cron", parseCron},
	"atd":            {"cron", parseCron},
	"run-parts":      {"cron", parseCron},
	"polkitd":        {"auth", parsePolkit},
	"pkexec":         {"auth", parsePkexec},
	"systemd-logind": {"systemd", parseLogind},
	"ulogd":          {"syslog", parseKernel},
	"systemd":        {"systemd", parseSystemd},
	// Those of auditd: the kernel without it, journald, its syslog plugins, and what forwards audit.log with rsyslog calls it.
	"audit":         {"auditd", parseAuditMessage},
	"auditd":        {"auditd", parseAuditMessage},
	"audispd":       {"auditd", parseAuditMessage},
	"audisp-syslog": {"auditd", parseAuditMessage},
	"tag_audit_log": {"auditd", parseAuditMessage},
	"kernel":        {"syslog", parseKernel},
	"nginx":         {"syslog", nil},
	"apache":        {"syslog", nil},
	"apache2":       {"syslog", nil},
	"httpd":         {"syslog", nil},
}

// parseMessage parses the message behind a syslog header: in the format of its program, if that is known, else by its content. Only
// the tag selects the program: a message that imitates another program stays a message.
func parseMessage(ev *Event) {
	ev.Logsource = sigma.Logsource{Product: "linux", Service: "syslog"}
	message, times := cutRepetition(ev.Message)
	ev.Message = message
	ev.setRepeated(times)
	if times := repetitionOfLast(message); times > 0 && ev.Process == "" {
		ev.OfLast = true
		ev.setRepeated(times)
	}
	if program, ok := programs[ev.Process]; ok {
		ev.Logsource.Service = program.service
		if program.parse == nil {
			parseText(ev, ev.Message)
			return
		}
		program.parse(ev)
		ev.took("program "+ev.Process, ev.Message)
		return
	}
	if isPAM(ev) {
		ev.Logsource.Service = "auth"
		parsePAM(ev, ev.Message)
		return
	}
	parseText(ev, ev.Message)
}
