package parse

import "strings"

var sudoFields = map[string]string{"TTY": "tty", "PWD": "pwd", "USER": "target_user", "GROUP": "group"}

// parseSudo parses
//
//	alice : [reason ; ]TTY=… ; PWD=… ; USER=root ; COMMAND=…
//
// The first occurrence of each key counts: if a folder is named like the rest of
// the line, the true rest is part of command, where rules can match it.
func parseSudo(ev *Event) {
	msg := strings.TrimLeft(ev.Message, " ")
	if parsePAMFailure(ev, msg) {
		ev.setAction("auth_failed")
		return
	}
	user, rest, ok := strings.Cut(msg, " : ")
	if !ok {
		parsePAMSession(ev, msg)
		return
	}
	ev.setUser(user)
	rest = cutSudoReason(ev, rest)
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

// cutSudoReason removes the reason of a refusal from the front. Without a reason
// the command was run.
func cutSudoReason(ev *Event, s string) string {
	if strings.HasPrefix(s, "TTY=") || strings.HasPrefix(s, "HOST=") || strings.HasPrefix(s, "PWD=") {
		ev.setAction("command")
		return s
	}
	reason, rest, _ := strings.Cut(s, " ; ")
	ev.set("reason", reason)
	switch {
	case strings.Contains(reason, "incorrect password attempt"), strings.HasPrefix(reason, "a password is required"):
		ev.setAction("auth_failed")
	case strings.Contains(reason, "NOT in sudoers"), strings.Contains(reason, "NOT authorized"), strings.Contains(reason, "not allowed"):
		ev.setAction("not_allowed")
	}
	return rest
}
