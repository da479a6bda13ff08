package parse

// program reads the message of a syslog line as its program writes it. Only the
// tag decides: text that imitates another program inside a message stays text.
func (p *Parser) program(ev *Event) {
	ev.Logsource = syslogLine()
	switch ev.Process {
	case "sshd", "sshd-session", "sshd-auth": // split since OpenSSH 9.8
		ev.service("sshd")
		sshd(ev)
	case "sudo":
		ev.service("sudo")
		sudo(ev)
	case "su", "login":
		ev.service("auth")
		su(ev)
	case "useradd", "usermod", "userdel", "groupadd", "groupmod", "groupdel", "passwd", "chpasswd", "gpasswd":
		ev.service("auth")
		account(ev)
	case "cron", "CRON", "crond", "crontab", "anacron":
		ev.service("cron")
		cron(ev)
	case "systemd":
		ev.service("systemd")
		systemd(ev)
	case "nginx", "apache", "apache2", "httpd":
		access(ev, ev.Message)
	}
}
