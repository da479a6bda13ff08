package parse

import "strings"

// parseDovecot parses the messages of dovecot about logins:
//
//	imap-login: Disconnected (auth failed, 3 attempts in 6 secs): user=<bob>, method=PLAIN, rip=192.0.2.7, lip=198.51.100.1, session=<…>
//	auth: passwd-file(bob,192.0.2.7,<…>): unknown user
//
// The client chooses the name; what dovecot knows of the connection stands behind it.
func parseDovecot(ev *Event) {
	msg := cutDovecotLevel(ev.Message)
	service, rest := ev.Process, msg
	if service == "dovecot" {
		service, rest, _ = strings.Cut(msg, ": ")
	}
	ev.set("service", service)
	rest = cutDovecotLevel(rest)
	switch {
	case strings.HasSuffix(service, "-login"):
		parseDovecotLogin(ev, rest)
	case strings.HasPrefix(service, "auth"):
		parseDovecotAuth(ev, rest)
	}
}

// cutDovecotLevel removes the level from the front, which dovecot's own file has before or behind the service.
func cutDovecotLevel(s string) string {
	for _, level := range [...]string{"Info: ", "Warning: ", "Error: "} {
		if rest, ok := strings.CutPrefix(s, level); ok {
			return rest
		}
	}
	return s
}

func parseDovecotLogin(ev *Event, msg string) {
	what, rest, ok := strings.Cut(msg, ": user=<")
	if !ok {
		return
	}
	switch {
	case what == "Login":
		ev.setAction("login_success")
	case strings.Contains(what, "auth failed"):
		ev.setAction("login_failed")
	default:
		ev.setAction("connection_closed")
	}
	ev.set("reason", what)
	at := strings.LastIndex(rest, ", rip=")
	if at < 0 {
		return
	}
	parseDovecotPeer(ev, rest[at+2:])
	if end := strings.LastIndex(rest[:at+1], ">,"); end >= 0 {
		ev.setUser(rest[:end])
		if method, ok := strings.CutPrefix(rest[end:at], ">, method="); ok {
			ev.set("auth_method", strings.ToLower(method))
		}
	}
}

// parseDovecotPeer parses "rip=…, lip=…, …, session=<…>", which dovecot writes.
func parseDovecotPeer(ev *Event, s string) {
	for part := range strings.SplitSeq(s, ", ") {
		switch key, value, _ := strings.Cut(part, "="); key {
		case "rip":
			ev.setSource(value)
		case "lip":
			ev.set("dst_ip", value)
		case "session":
			ev.set("session_id", strings.Trim(value, "<>"))
		}
	}
}

// parseDovecotAuth parses "pam(bob,192.0.2.7[,<session>]): reason", with parts about a worker before it. The reason can have the password
// that was given: if the text seems to have two beginnings, neither counts.
func parseDovecotAuth(ev *Event, msg string) {
	if _, after, ok := strings.Cut(msg, ": auth-worker<"); ok {
		_, msg, _ = strings.Cut(after, ">: ")
	}
	if _, after, ok := strings.Cut(msg, "): "); ok && strings.HasPrefix(msg, "auth-worker(") {
		msg = after
	}
	who, reason, ok := strings.Cut(msg, "): ")
	driver, who, isDriver := strings.Cut(who, "(")
	if !ok || !isDriver || strings.Contains(driver, " ") {
		parsePAM(ev, msg)
		return
	}
	if !isDovecotFailure(reason) {
		return
	}
	ev.setAction("auth_failed")
	ev.set("auth_method", driver)
	ev.set("reason", reason)
	if strings.Contains(reason, "): ") {
		return
	}
	if session := strings.LastIndex(who, ",<"); session >= 0 && strings.HasSuffix(who, ">") {
		who = who[:session]
	}
	if at := strings.LastIndexByte(who, ','); at >= 0 {
		ev.setUser(who[:at])
		ev.setSource(who[at+1:])
	}
}

func isDovecotFailure(reason string) bool {
	lower := strings.ToLower(reason)
	for _, part := range [...]string{"unknown user", "mismatch", "failed", "invalid", "disallowed", "expired", "locked", "not authenticated"} {
		if strings.Contains(lower, part) {
			return true
		}
	}
	return false
}
