package parse

import "strings"

// parsePostfix parses the messages of Postfix's smtpd and postscreen. Postfix writes "unknown" for the name of a client unless its address
// and name agree, and the name has no blank; the client is before the text of its commands, so it is taken from the beginning.
func parsePostfix(ev *Event) {
	msg := ev.Message
	if id, rest, ok := strings.Cut(msg, ": "); ok && (strings.HasPrefix(rest, "client=") || strings.HasPrefix(rest, "reject: ")) {
		if id != "NOQUEUE" {
			ev.set("queue_id", id)
		}
		msg = rest
	}
	if !postfixPhrases.parse(ev, msg) {
		parsePAM(ev, msg)
		return
	}
	reason := ev.text("reason")
	if at := strings.LastIndex(reason, ", sasl_username="); at >= 0 { // since 3.8
		ev.setUser(reason[at+len(", sasl_username="):])
		ev.set("reason", reason[:at])
	}
}

var postfixPhrases = compile(
	form{"warning: {host_name}[{src}]: SASL {auth_method} authentication failed: {reason*}", "login_failed", ""},
	form{"warning: {host_name}[{src}]: SASL {auth_method} authentication failed", "login_failed", ""},
	form{"client={host_name}[{src}], sasl_method={auth_method}, sasl_username={user*}", "login_success", ""},
	form{"client={host_name}[{src}]", "connection_opened", ""},
	form{"connect from {host_name}[{src}]", "connection_opened", ""},
	form{"disconnect from {host_name}[{src}]", "connection_closed", ""},
	form{"disconnect from {host_name}[{src}] {reason*}", "connection_closed", ""},
	form{"lost connection after {command} from {host_name}[{src}]", "connection_closed", ""},
	form{"lost connection after {command} ({_} bytes) from {host_name}[{src}]", "connection_closed", ""},
	form{"timeout after {command} from {host_name}[{src}]", "auth_timeout", ""},
	form{"too many errors after {command} from {host_name}[{src}]", "too_many_failures", ""},
	form{"improper command pipelining after {command} from {host_name}[{src}]: {reason*}", "protocol_error", ""},
	form{"warning: non-SMTP command from {host_name}[{src}]: {reason*}", "protocol_error", ""},
	form{"SSL_accept error from {host_name}[{src}]: {reason*}", "protocol_error", ""},
	form{"reject: {command} from {host_name}[{src}]: {reason*}", "rejected", ""},
	form{"reject: {command} from [{src}]:{port}: {reason*}", "rejected", ""}, // postscreen
	form{"warning: hostname {host_name} does not resolve to address {src}[[: {_*}]]", "name_mismatch", ""},
	form{"warning: {src}: hostname {host_name} verification failed: {_*}", "name_mismatch", ""},
	form{"warning: Connection rate limit exceeded: {_} from {host_name}[{src}] for service {_}", "throttling", ""},
	form{"warning: Connection concurrency limit exceeded: {_} from {host_name}[{src}] for service {_}", "throttling", ""},
	form{"CONNECT from [{src}]:{port} to [{dst_ip}]:{dst_port}", "connection_opened", ""},
	form{"DISCONNECT [{src}]:{port}", "connection_closed", ""},
	form{"HANGUP after {_} from [{src}]:{port} in {_*}", "connection_closed", ""},
	form{"PREGREET {_} after {_} from [{src}]:{port}: {reason*}", "protocol_error", ""},
	form{"DNSBL rank {_} for [{src}]:{port}", "rejected", ""},
)

// parseExim parses the messages of Exim's main log about clients. A client chooses the name in its HELO, which is in brackets before its address.
func parseExim(ev *Event) {
	method, rest, ok := strings.Cut(ev.Message, " authenticator failed ")
	if ok && !strings.Contains(method, " ") {
		ev.set("auth_method", method)
		ev.setAction("login_failed")
		if strings.Count(rest, ": 535 ") == 1 { // else the name that was given imitates the message
			eximPhrases.parse(ev, rest)
		}
		return
	}
	eximPhrases.parse(ev, ev.Message)
}

var eximPhrases = compile(
	form{"for {host_name*} [{src}]: 535 Incorrect authentication data (set_id={user})", "login_failed", ""},
	form{"for {host_name*} [{src}]: 535 Incorrect authentication data", "login_failed", ""},
	form{"for {host_name*} [{src}]:{port}: 535 Incorrect authentication data (set_id={user})", "login_failed", ""},
	form{"for {host_name*} [{src}]:{port}: 535 Incorrect authentication data", "login_failed", ""},
	form{"for {host_name*} [{src}]:{port} I=[{dst_ip}]:{dst_port}: 535 Incorrect authentication data (set_id={user})", "login_failed", ""},
	form{"for {host_name*} [{src}]:{port} I=[{dst_ip}]:{dst_port}: 535 Incorrect authentication data", "login_failed", ""},
	form{"no host name found for IP address {src}", "name_mismatch", ""},
	form{"SMTP call from [{src}] dropped: {reason*}", "connection_closed", ""},
	form{"SMTP connection from [{src}]:{port} lost", "connection_closed", ""},
	form{"SMTP connection from [{src}] lost", "connection_closed", ""},
)

// parseEximFile parses a line of Exim's own file that is about a client: "2026-11-29 20:00:00 login authenticator failed for …".
func parseEximFile(ev *Event, line string) bool {
	at, message, ok := ev.settings.cutTimestamp(line)
	message = strings.TrimLeft(message, " ")
	if pid, rest, found := strings.Cut(message, "] "); found && strings.HasPrefix(pid, "[") && leadingDigits(pid[1:]) == pid[1:] {
		message = rest
	}
	if !ok || !strings.Contains(message, " authenticator failed for ") && !strings.HasPrefix(message, "SMTP c") {
		return false
	}
	whole := ev.Message
	ev.Message = message
	parseExim(ev)
	if !ev.has("action") {
		ev.Message = whole
		ev.drop("auth_method")
		return false
	}
	ev.Time = at.at
	ev.setProgram("exim", "exim")
	return true
}

// parseSendmail parses the messages of sendmail about clients, with or without the id of a mail before them.
func parseSendmail(ev *Event) {
	msg := ev.Message
	if id, rest, ok := strings.Cut(msg, ": "); ok && !strings.Contains(id, " ") {
		ev.set("queue_id", id)
		msg = rest
	}
	if !sendmailPhrases.parse(ev, msg) {
		parsePAM(ev, msg)
	}
}

var sendmailPhrases = compile(
	form{"AUTH failure ({auth_method}): {reason*}, relay={host_name} [{src}]", "login_failed", ""},
	form{"AUTH failure ({auth_method}): {reason*}, relay=[{src}]", "login_failed", ""},
	form{"[{src}]: possible SMTP attack: command={command}, count={_}", "rejected", ""},
)

// parseSASL parses the messages of saslauthd. The name comes first and is chosen by the client, so the rest is taken from the end.
func parseSASL(ev *Event) {
	if verb, rest, ok := strings.Cut(ev.Message, ": "); ok && strings.TrimRight(verb, " ") == "do_auth" {
		saslPhrases.parse(ev, strings.TrimLeft(rest, " "))
		return
	}
	parsePAM(ev, ev.Message)
}

var saslPhrases = compile(
	form{"auth failure: [user={user*}] [service={service}] [realm={realm}] [mech={auth_method}] [reason=PAM auth error]", "auth_failed", ""},
	form{"auth failure: [user={user*}] [service={service}] [realm=] [mech={auth_method}] [reason=PAM auth error]", "auth_failed", ""},
	form{"auth failure: [user={user*}] [service={service}] [realm=] [mech={auth_method}] [reason=Unknown]", "auth_failed", ""},
	form{"auth failure: [user={user*}] [service={service}] [realm={realm}] [mech={auth_method}] [reason=Unknown]", "auth_failed", ""},
)
