package parse

import (
	"strings"

	"github.com/ironpost/ironpost/sigma"
)

// programs are the programs whose messages are parsed, by the name in the syslog
// tag, with the service of their logsource. Messages of those without parse are parsed by their content.
var programs = map[string]struct {
	service string
	parse   func(*Event)
}{
	"sshd":              {"sshd", parseSSHD},
	"sshd-session":      {"sshd", parseSSHD}, // sshd is split since OpenSSH 9.8
	"sshd-auth":         {"sshd", parseSSHD},
	"sudo":              {"sudo", parseSudo},
	"sudo-rs":           {"sudo", parseSudo},
	"doas":              {"sudo", parseDoas},
	"su":                {"auth", parseSu},
	"login":             {"auth", parseSu},
	"useradd":           {"auth", parseAccount},
	"usermod":           {"auth", parseAccount},
	"userdel":           {"auth", parseAccount},
	"groupadd":          {"auth", parseAccount},
	"groupmod":          {"auth", parseAccount},
	"groupdel":          {"auth", parseAccount},
	"passwd":            {"auth", parseAccount},
	"chpasswd":          {"auth", parseAccount},
	"gpasswd":           {"auth", parseAccount},
	"cron":              {"cron", parseCron},
	"CRON":              {"cron", parseCron},
	"crond":             {"cron", parseCron},
	"crontab":           {"cron", parseCron},
	"anacron":           {"cron", parseCron},
	"adduser":           {"auth", parseAccount},
	"addgroup":          {"auth", parseAccount},
	"deluser":           {"auth", parseAccount},
	"delgroup":          {"auth", parseAccount},
	"chage":             {"auth", parseAccount},
	"chsh":              {"auth", parseAccount},
	"chfn":              {"auth", parseAccount},
	"newusers":          {"auth", parseAccount},
	"CROND":             {"cron", parseCron},
	"atd":               {"cron", parseCron},
	"run-parts":         {"cron", parseCron},
	"polkitd":           {"auth", parsePolkit},
	"pkexec":            {"auth", parsePkexec},
	"systemd-logind":    {"systemd", parseLogind},
	"ulogd":             {"syslog", parseKernel},
	"systemd":           {"systemd", parseSystemd},
	"filterlog":         {"syslog", parseFilterlog},
	"dnsmasq":           {"syslog", parseDnsmasq},
	"pihole-FTL":        {"syslog", parseDnsmasq},
	"dnsmasq-dhcp":      {"syslog", parseDHCP},
	"dhcpd":             {"syslog", parseDHCP},
	"named":             {"syslog", parseNamed},
	"unbound":           {"syslog", parseUnbound},
	"vsftpd":            {"vsftpd", parseVsftpd},
	"proftpd":           {"proftpd", parseProFTPD},
	"pure-ftpd":         {"pure-ftpd", parsePureFTPD},
	"ftpd":              {"ftpd", parseFTPD},
	"in.ftpd":           {"ftpd", parseFTPD},
	"klogind":           {"auth", parseFTPD},
	"xinetd":            {"syslog", parseInetd},
	"tcpd":              {"syslog", parseInetd},
	"in.telnetd":        {"syslog", parseInetd},
	"dovecot":           {"dovecot", parseDovecot},
	"imap-login":        {"dovecot", parseDovecot}, // in dovecot's own file
	"pop3-login":        {"dovecot", parseDovecot},
	"submission-login":  {"dovecot", parseDovecot},
	"managesieve-login": {"dovecot", parseDovecot},
	"auth-worker":       {"dovecot", parseDovecot},
	"postfix":           {"postfix", parsePostfix},
	"exim":              {"exim", parseExim},
	"exim4":             {"exim", parseExim},
	"sendmail":          {"sendmail", parseSendmail},
	"sm-mta":            {"sendmail", parseSendmail},
	"saslauthd":         {"auth", parseSASL},
	"mysqld":            {"mysql", parseMySQL},
	"mariadbd":          {"mysql", parseMySQL},
	"postgres":          {"postgresql", parsePostgres},
	"redis-server":      {"redis", parseRedis},
	"smbd":              {"samba", parseSamba},
	"smbd_audit":        {"samba", parseSamba},
	"slapd":             {"slapd", parseSlapd},
	"openvpn":           {"openvpn", parseOpenVPN},
	"charon":            {"strongswan", parseCharon},
	"charon-systemd":    {"strongswan", parseCharon},
	"ipsec":             {"strongswan", parseCharon},
	"xrdp":              {"xrdp", parseXRDP},
	"xrdp-sesman":       {"xrdp", parseXRDP},
	"pvedaemon":         {"proxmox", parseProxmox},
	"pveproxy":          {"proxmox", parseProxmox},
	"pmgdaemon":         {"proxmox", parseProxmox},
	"webmin":            {"webmin", parseWebmin},
	"usermin":           {"webmin", parseWebmin},
	"fail2ban":          {"fail2ban", parseFail2ban},
	"fail2ban-server":   {"fail2ban", parseFail2ban},
	"fail2ban.actions":  {"fail2ban", parseFail2ban},
	"fail2ban.filter":   {"fail2ban", parseFail2ban},
	// Those of auditd: the kernel without it, journald, its syslog plugins, and what forwards audit.log with rsyslog calls it.
	"audit":         {"auditd", parseAuditMessage},
	"auditd":        {"auditd", parseAuditMessage},
	"audispd":       {"auditd", parseAuditMessage},
	"audisp-syslog": {"auditd", parseAuditMessage},
	"tag_audit_log": {"auditd", parseAuditMessage},
	"sysmon":        {"sysmon", parseSysmon},
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
	if program, ok := programs[familyOf(ev.Process)]; ok {
		ev.Logsource.Service = program.service
		if program.parse == nil {
			parseText(ev, ev.Message)
			return
		}
		program.parse(ev)
		if ev.trace != nil {
			ev.took("program "+ev.Process, ev.Message)
		}
		return
	}
	if isASA(ev.Process) {
		parseASA(ev)
		ev.took("cisco_asa", ev.Message)
		return
	}
	if isPAM(ev) {
		ev.Logsource.Service = "auth"
		parsePAM(ev, ev.Message)
		return
	}
	parseText(ev, ev.Message)
}

// familyOf returns the program of which name is a part: "postfix" of "postfix/smtpd", "openvpn" of "ovpn-office".
func familyOf(name string) string {
	if strings.HasPrefix(name, "ovpn-") {
		return "openvpn"
	}
	if strings.HasPrefix(name, "postfix/") {
		return "postfix"
	}
	return name
}
