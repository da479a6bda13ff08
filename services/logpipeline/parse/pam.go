package parse

import "strings"

// parsePAMFailure parses the message of pam_unix after a failed password:
//
//	authentication failure; logname=a uid=0 euid=0 tty=ssh ruser= rhost=h  user=b
//	PAM 5 more authentication failures; logname=… (rest as above)
//
// The first rhost counts: user comes last and is chosen by the attacker, while
// nothing before rhost is chosen by a client of sshd.
func parsePAMFailure(ev *Event, msg string) bool {
	msg = cutPAMModule(msg)
	count, isSummary := strings.CutPrefix(msg, "PAM ")
	_, summary, _ := strings.Cut(count, " ")
	if !strings.HasPrefix(msg, "authentication failure; ") && !(isSummary && strings.HasPrefix(summary, "more authentication failure")) {
		return false
	}
	ev.setAction("login_failed")
	ev.set("auth_method", "pam")
	_, rest, _ := strings.Cut(msg, " rhost=")
	host, rest, _ := strings.Cut(rest, " ")
	if host != "" {
		ev.setSource(host)
	}
	if user, ok := strings.CutPrefix(rest, " user="); ok {
		ev.setUser(user)
	}
	return true
}

// parsePAMSession parses "session opened for user root(uid=0) by alice(uid=1000)"
// and "session closed for user root".
func parsePAMSession(ev *Event, msg string) bool {
	msg = cutPAMModule(msg)
	for _, verb := range [...]string{"opened", "closed"} {
		if user, ok := strings.CutPrefix(msg, "session "+verb+" for user "); ok {
			user, _, _ = strings.Cut(user, " ")
			user, _, _ = strings.Cut(user, "(")
			ev.setAction("session_" + verb)
			ev.setUser(user)
			return true
		}
	}
	return false
}

// cutPAMModule removes "pam_unix(sshd:auth): " from the front.
func cutPAMModule(msg string) string {
	if strings.HasPrefix(msg, "pam_") {
		if _, rest, ok := strings.Cut(msg, "): "); ok {
			return rest
		}
	}
	return msg
}
