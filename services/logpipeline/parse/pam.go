package parse

import "strings"

// parsePAM parses a message of a PAM module about any service, of Linux-PAM and of SSSD, Samba and related modules:
//
//	pam_unix(sshd:auth): authentication failure; …      (pam_service sshd, pam_type auth)
//	authentication failure; …                           (the module is in the tag: "sshd(pam_unix)")
//
// It reports whether it is known.
func parsePAM(ev *Event, msg string) bool {
	msg = cutPAMModule(ev, msg)
	return parsePAMFailure(ev, msg) || parsePAMSession(ev, msg) || pamPhrases.parse(ev, msg)
}

// parsePAMOnly parses the message of a program of which only those of PAM are known.
func parsePAMOnly(ev *Event) { parsePAM(ev, ev.Message) }

// isPAM reports whether a module of PAM wrote the message, whatever the program is.
func isPAM(ev *Event) bool {
	if module, rest, ok := strings.Cut(ev.Message, "("); ok && strings.HasPrefix(module, "pam_") && !strings.Contains(module, " ") {
		return strings.Contains(rest, "): ")
	}
	return strings.HasSuffix(ev.text("tag"), ")") && strings.Contains(ev.text("tag"), "(pam_")
}

var pamPhrases = compile(
	form{"check pass; user unknown", "user_unknown", "invalid_user"},
	form{"bad username [{user*}]", "user_unknown", "invalid_user"},
	form{"auth could not identify password for [{user*}]", "auth_failed", ""},
	form{"account {user} has expired (account expired)", "account_refused", ""},
	form{"expired password for user {user} (password aged)", "password_expired", ""},
	form{"expired password for user {user} (root enforced)", "password_expired", ""},
	form{"password changed for {user*}", "password_changed", ""},
	form{"authentication success; logname={_*}", "auth_success", ""},
	form{"received for user {user*}: 7 (Authentication failure)", "auth_failed", ""},
	form{"received for user {user*}: 10 (User not known to the underlying authentication module)", "user_unknown", "invalid_user"},
	form{"received for user {user*}: 17 (Failure setting user credentials)", "auth_failed", ""},
	form{"Access denied for user {user*}: 6 (Permission denied)", "account_refused", ""},
	form{"Access denied for user {user*}: {_} (User account has expired)", "account_refused", ""},
	form{"Consecutive login failures for user {user*} account temporarily locked", "account_locked", ""},
	form{"user {user} ({uid}) tally {_}, deny {_}", "account_locked", ""},
	form{"user '{user*}' denied access (incorrect password or invalid membership)", "auth_failed", ""},
	form{"user '{user*}' granted access", "auth_success", ""},
	form{"requirement \"{reason*}\" not met by user \"{user}\"", "account_refused", ""},
	form{"requirement \"{reason*}\" was met by user \"{user}\"", "account_allowed", ""},
	form{"Refused user {user*} for service {_}", "account_refused", ""},
	form{"access denied for user `{user*}' from `{src}'", "account_refused", ""},
	form{"Invalid verification code for {user*}", "auth_failed", "auth_method=otp"},
	form{"Failed to create session: {reason*}", "session_failed", ""},
)

// parsePAMFailure parses the message of pam_unix after a failed password:
//
//	authentication failure; logname=a uid=0 euid=0 tty=ssh ruser= rhost=h  user=b
//	PAM 5 more authentication failures; logname=… (rest as above)
func parsePAMFailure(ev *Event, msg string) bool {
	count, isSummary := strings.CutPrefix(msg, "PAM ")
	_, summary, _ := strings.Cut(count, " ")
	if !strings.HasPrefix(msg, "authentication failure; ") && !(isSummary && strings.HasPrefix(summary, "more authentication failure")) {
		return false
	}
	ev.setAction("login_failed")
	ev.set("auth_method", "pam")
	host, rest := cutPAMHost(msg)
	if host != "" {
		ev.setSource(host)
	}
	if user, ok := strings.CutPrefix(strings.TrimPrefix(rest, " "), "user="); ok {
		ev.setUser(user)
	}
	return true
}

// cutPAMHost returns rhost and what follows it. The user comes last and is chosen by the client. ruser precedes rhost; sshd leaves it
// empty, and then the first rhost counts. Servers for FTP and mail put the name of the user there, and then no rhost counts if there are
// several.
func cutPAMHost(msg string) (host, rest string) {
	before, rest, _ := strings.Cut(msg, " rhost=")
	if !strings.HasSuffix(before, " ruser=") && strings.Contains(rest, " rhost=") {
		return "", ""
	}
	if _, ruser, _ := strings.Cut(before, " ruser="); strings.Contains(ruser, " ruser=") {
		return "", ""
	}
	host, rest, _ = strings.Cut(rest, " ")
	return host, rest
}

// parsePAMSession parses "session opened for user root(uid=0) by alice(uid=1000)"
// and "session closed for user root".
func parsePAMSession(ev *Event, msg string) bool {
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

// cutPAMModule removes "pam_unix(sshd:auth): " from the front, and sets its parts.
func cutPAMModule(ev *Event, msg string) string {
	if !strings.HasPrefix(msg, "pam_") {
		return msg
	}
	head, rest, ok := strings.Cut(msg, "): ")
	module, of, isModule := strings.Cut(head, "(")
	if !ok || !isModule || strings.Contains(module, " ") {
		return msg
	}
	service, kind, _ := strings.Cut(of, ":")
	ev.set("pam_module", module)
	ev.set("pam_service", service)
	ev.set("pam_type", kind)
	return rest
}
