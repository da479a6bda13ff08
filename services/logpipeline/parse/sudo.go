package parse

import "strings"

// sudo reads "alice : [reason ; ]TTY=… ; PWD=… ; USER=root ; COMMAND=…". Each key
// counts where it stands first: a folder named to look like the rest of the line
// then leaves the true rest inside command, where rules still see it.
func sudo(ev *Event) {
	msg := strings.TrimLeft(ev.Message, " ")
	if pamFailure(ev, msg) {
		ev.action("auth_failed")
		return
	}
	user, rest, ok := strings.Cut(msg, " : ")
	if !ok {
		pamSession(ev, msg)
		return
	}
	ev.user(user)
	rest = sudoReason(ev, rest)
	head, command, ok := strings.Cut(rest, "COMMAND=")
	if ok {
		ev.set("command", command)
	}
	for part := range strings.SplitSeq(head, " ; ") {
		name, value, _ := strings.Cut(strings.TrimSuffix(part, " ;"), "=")
		if field := sudoField(name); field != "" && ev.Fields[field] == nil {
			ev.set(field, value)
		}
	}
}

func sudoField(name string) string {
	switch name {
	case "TTY":
		return "tty"
	case "PWD":
		return "pwd"
	case "USER":
		return "target_user"
	case "GROUP":
		return "group"
	}
	return ""
}

// sudoReason takes the refusal, if any, off the front; without one the command
// ran.
func sudoReason(ev *Event, s string) string {
	if strings.HasPrefix(s, "TTY=") || strings.HasPrefix(s, "HOST=") || strings.HasPrefix(s, "PWD=") {
		ev.action("command")
		return s
	}
	reason, rest, _ := strings.Cut(s, " ; ")
	ev.set("reason", reason)
	switch {
	case strings.Contains(reason, "incorrect password attempt"), strings.HasPrefix(reason, "a password is required"):
		ev.action("auth_failed")
	case strings.Contains(reason, "NOT in sudoers"), strings.Contains(reason, "NOT authorized"), strings.Contains(reason, "not allowed"):
		ev.action("not_allowed")
	}
	return rest
}
