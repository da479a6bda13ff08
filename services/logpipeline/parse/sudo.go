package parse

import "strings"

var sudoFields = map[string]string{
	"TTY": "tty", "PWD": "pwd", "USER": "target_user", "GROUP": "group", "CHROOT": "chroot", "ENV": "env", "TSID": "session_id",
	"SIGNAL": "signal", "EXIT": "exit_code",
}

// parseSudo parses the messages of sudo and sudo-rs:
//
//	alice : [reason ; ]TTY=… ; PWD=… ; USER=root ; COMMAND=…
//	alice : (command continued) the rest of a long command
//
// The first occurrence of each key counts: if a folder is named like the rest of
// the line, the true rest is part of command, where rules can match it.
func parseSudo(ev *Event) {
	msg := strings.TrimLeft(ev.Message, " ")
	user, rest, ok := strings.Cut(msg, " : ")
	if isPAM := strings.HasPrefix(msg, "pam_") || strings.HasSuffix(ev.text("tag"), ")"); isPAM || !ok || strings.Contains(user, ": ") {
		parseSudoPAM(ev, msg)
		return
	}
	ev.setUser(user)
	if command, ok := strings.CutPrefix(rest, "(command continued) "); ok {
		ev.setAction("command_continued")
		ev.set("command", command)
		return
	}
	rest = cutSudoReason(ev, strings.TrimLeft(rest, " "))
	head, command, ok := strings.Cut(rest, "COMMAND=")
	if ok {
		ev.set("command", command)
	}
	for part := range strings.SplitSeq(head, " ; ") {
		name, value, _ := strings.Cut(strings.TrimSuffix(part, " ;"), "=")
		if field := sudoFields[name]; field != "" && !ev.has(field) {
			ev.set(field, value)
		}
	}
}

func parseSudoPAM(ev *Event, msg string) {
	msg = cutPAMModule(ev, msg)
	if parsePAMFailure(ev, msg) {
		ev.setAction("auth_failed")
		return
	}
	parsePAM(ev, msg)
}

// sudoRefusals are parts of the reasons that sudo logs (logging.c, check.c, pam.c), with the action of each.
var sudoRefusals = []struct{ part, action string }{
	{"incorrect password attempt", "auth_failed"},
	{"a password is required", "auth_failed"},
	{"a terminal is required", "auth_failed"},
	{"no tty present", "auth_failed"},
	{"authentication error", "auth_failed"},
	{"authentication failure", "auth_failed"},
	{"conversation failed", "auth_failed"},
	{"conversation error", "auth_failed"},
	{"not in sudoers", "not_allowed"},
	{"not authorized", "not_allowed"},
	{"not allowed", "not_allowed"},
	{"you must have a tty", "not_allowed"},
	{"account validation failure", "not_allowed"},
	{"account expired", "not_allowed"},
	{"account or password is expired", "not_allowed"},
	{"may not run", "not_allowed"},
}

// cutSudoReason removes the reason of a refusal from the front. Without a reason
// the command was run.
func cutSudoReason(ev *Event, s string) string {
	for _, key := range [...]string{"TTY=", "HOST=", "PWD=", "CHROOT=", "USER=", "COMMAND="} {
		if strings.HasPrefix(s, key) {
			ev.setAction("command")
			return s
		}
	}
	reason, rest, _ := strings.Cut(s, " ; ")
	ev.set("reason", reason)
	lower := strings.ToLower(reason)
	action := "error"
	for _, refusal := range sudoRefusals {
		if strings.Contains(lower, refusal.part) {
			action = refusal.action
			break
		}
	}
	ev.setAction(action)
	return rest
}

// parseDoas parses the messages of doas of OpenBSD and its ports. The arguments of a command are chosen by the user: in the first form
// the last " as " and " from " are those of doas, unless its folder is named so.
func parseDoas(ev *Event) {
	msg := ev.Message
	if doasPhrases.parse(ev, msg) {
		return
	}
	user, rest, ok := strings.Cut(msg, " ran command ")
	from := strings.LastIndex(rest, " from ")
	if !ok || from < 0 || strings.Contains(user, " ") {
		parseSudoPAM(ev, msg)
		return
	}
	command, pwd := rest[:from], rest[from+len(" from "):]
	ev.setAction("command")
	ev.setUser(user)
	ev.set("pwd", pwd)
	if as := strings.LastIndex(command, " as "); as >= 0 {
		ev.set("target_user", command[as+len(" as "):])
		command = command[:as]
	}
	ev.set("command", command)
}

var doasPhrases = compile(
	form{"command not permitted for {user}: {command*}", "not_allowed", ""},
	form{"failed command for {user}: {command*}", "not_allowed", ""},
	form{"failed auth for {user*}", "auth_failed", ""},
	form{"tty required for {user*}", "not_allowed", ""},
)
