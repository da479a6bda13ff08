package parse

import "strings"

// parseSu parses the messages of su(1), and of PAM for su and login:
//
//	Successful su for root by alice
//	FAILED su for root by alice
//	[FAILED SU ](to root) alice on pts/0              (util-linux)
//
// The user is the one who called su, target_user the one they wanted to become.
func parseSu(ev *Event) {
	msg := ev.Message
	if parsePAMFailure(ev, msg) || parsePAMSession(ev, msg) {
		swapPAMUsers(ev, msg)
		return
	}
	for _, form := range [...]struct{ head, action string }{
		{"Successful su for ", "su_success"},
		{"FAILED su for ", "su_failed"},
		{"(to ", "su_success"},
		{"FAILED SU (to ", "su_failed"},
	} {
		rest, ok := strings.CutPrefix(msg, form.head)
		if !ok {
			continue
		}
		target, user, _ := strings.Cut(rest, " by ")
		if strings.HasSuffix(form.head, "(to ") {
			var tty string
			target, rest, _ = strings.Cut(rest, ") ")
			user, tty, _ = strings.Cut(rest, " on ")
			ev.set("tty", tty)
		}
		ev.setAction(form.action)
		ev.setUser(user)
		ev.set("target_user", target)
		return
	}
}

// swapPAMUsers makes PAM's user the target_user and its ruser, or the one behind
// "by", the user.
func swapPAMUsers(ev *Event, msg string) {
	target := ev.User
	user := ""
	if _, rest, ok := strings.Cut(msg, " ruser="); ok {
		user, _, _ = strings.Cut(rest, " ")
	}
	if _, rest, ok := strings.Cut(msg, " by "); ok {
		user, _, _ = strings.Cut(rest, "(")
	}
	if user != "" {
		ev.set("target_user", target)
		ev.setUser(user)
	}
}
