package parse

import "strings"

// parseSu parses the messages of su(1) of shadow, util-linux and BusyBox, and of
// PAM for su and login. The user is the one who called su, target_user the one
// they wanted to become.
func parseSu(ev *Event) {
	msg := ev.Message
	if suPhrases.parse(ev, msg) || parseLoginFailure(ev, msg) {
		return
	}
	if parsePAM(ev, msg) && ev.Process == "su" {
		swapPAMUsers(ev, msg)
	}
}

var suPhrases = compile(
	form{"Successful su for {target_user} by {user*}", "su_success", ""},
	form{"FAILED su for {target_user} by {user*}", "su_failed", ""},
	form{"(to {target_user}) {user} on {tty*}", "su_success", ""}, // util-linux
	form{"FAILED SU (to {target_user}) {user} on {tty*}", "su_failed", ""},
	form{"+ {tty} {user}:{target_user}", "su_success", ""}, // shadow, BusyBox
	form{"- {tty} {user}:{target_user}", "su_failed", ""},
	form{"ROOT LOGIN ON {tty*}", "login_success", "user=root"}, // login
	form{"ROOT LOGIN  on '{tty}' from '{src}'", "login_success", "user=root"},
	form{"ROOT LOGIN  on '{tty}'", "login_success", "user=root"},
	form{"LOGIN ON {tty} BY {user*} FROM {src}", "login_success", ""},
	form{"LOGIN ON {tty} BY {user*}", "login_success", ""},
	form{"root login on '{tty}'[[ from '{src}']]", "login_success", "user=root"}, // BusyBox
	form{"invalid password for '{user*}' on '{tty}'[[ from '{src}']]", "login_failed", "auth_method=password"},
	form{"invalid password for '{user*}'  on '{tty}'[[ from '{src}']]", "login_failed", "auth_method=password"}, // shadow
	form{"FAILED LOGIN ({_}) on '{tty}' FOR '{user*}', Authentication failure", "login_failed", "auth_method=password"},
	form{"FAILED LOGIN ({_}) on '{tty}' from '{src}' FOR '{user*}', Authentication failure", "login_failed", "auth_method=password"},
)

// parseLoginFailure parses login(1) of util-linux:
//
//	FAILED LOGIN 1 FROM tty1 FOR bob, Authentication failure
//	FAILED LOGIN SESSION FROM 192.0.2.1 FOR (unknown), User not known to the underlying authentication module
//	TOO MANY LOGIN TRIES (3) FROM 192.0.2.1 FOR bob, Authentication failure
//
// The place precedes the name, which the client chooses. PAM wrote the last reason.
func parseLoginFailure(ev *Event, msg string) bool {
	if !strings.HasPrefix(msg, "FAILED LOGIN ") && !strings.HasPrefix(msg, "TOO MANY LOGIN TRIES ") {
		return false
	}
	_, rest, ok := strings.Cut(msg, " FROM ")
	place, rest, found := strings.Cut(rest, " FOR ")
	end := strings.LastIndex(rest, ", ")
	if !ok || !found || end < 0 {
		return false
	}
	ev.setAction("login_failed")
	ev.set("auth_method", "password")
	ev.set("reason", rest[end+2:])
	ev.setUser(strings.Trim(rest[:end], "'"))
	if strings.HasPrefix(place, "tty") || strings.HasPrefix(place, "pts/") {
		ev.set("tty", place)
	} else if place != "(null)" {
		ev.setSource(place)
	}
	return true
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
	if user != "" && target != "" {
		ev.set("target_user", target)
		ev.setUser(user)
	}
}
