package parse

import "strings"

// pamFailure reads what pam_unix writes after a failed password:
// "authentication failure; logname=a uid=0 euid=0 tty=ssh ruser= rhost=h  user=b".
// The first rhost counts, for user comes last and is the attacker's; in sshd what
// stands before rhost is not the client's to choose.
func pamFailure(ev *Event, msg string) bool {
	msg = afterModule(msg)
	if !strings.HasPrefix(msg, "authentication failure; ") && !isMoreFailures(msg) {
		return false
	}
	ev.action("login_failed")
	ev.set("auth_method", "pam")
	_, rest, _ := strings.Cut(msg, " rhost=")
	host, rest, _ := strings.Cut(rest, " ")
	if host != "" {
		ev.source(host)
	}
	if user, ok := strings.CutPrefix(rest, " user="); ok {
		ev.user(user)
	}
	return true
}

// isMoreFailures knows "PAM 5 more authentication failures; logname=…".
func isMoreFailures(msg string) bool {
	rest, ok := strings.CutPrefix(msg, "PAM ")
	if !ok {
		return false
	}
	_, rest, _ = strings.Cut(rest, " ")
	return strings.HasPrefix(rest, "more authentication failure")
}

// pamSession reads "session opened for user root(uid=0) by alice(uid=1000)" and
// the like, as action session_opened or session_closed.
func pamSession(ev *Event, msg string) bool {
	msg = afterModule(msg)
	for _, verb := range [...]string{"opened", "closed"} {
		user, ok := strings.CutPrefix(msg, "session "+verb+" for user ")
		if !ok {
			continue
		}
		user, _, _ = strings.Cut(user, " ")
		user, _, _ = strings.Cut(user, "(")
		ev.action("session_" + verb)
		ev.user(user)
		return true
	}
	return false
}

// afterModule drops "pam_unix(sshd:auth): " from the front.
func afterModule(msg string) string {
	if !strings.HasPrefix(msg, "pam_") {
		return msg
	}
	if _, rest, ok := strings.Cut(msg, "): "); ok {
		return rest
	}
	return msg
}
