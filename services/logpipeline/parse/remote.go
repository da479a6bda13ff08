package parse

import "strings"

// parseProxmox parses the messages of Proxmox VE and its relatives about logins to their interface.
func parseProxmox(ev *Event) {
	msg := ev.Message
	if operator, rest, ok := strings.Cut(msg, "> "); ok && strings.HasPrefix(operator, "<") {
		msg = rest
	}
	proxmoxPhrases.parse(ev, msg)
}

var proxmoxPhrases = compile(
	form{"authentication failure; rhost={src} user={user} msg={reason*}", "login_failed", ""},
	form{"authentication failure; rhost={src} {reason*}", "login_failed", ""}, // a name with blanks
	form{"successful auth for user '{user*}'", "login_success", ""},
)

// parseWebmin parses the messages of Webmin and Usermin.
func parseWebmin(ev *Event) { webminPhrases.parse(ev, ev.Message) }

var webminPhrases = compile(
	form{"Invalid login as {user*} from {src}", "login_failed", ""},
	form{"Non-existent login as {user*} from {src}", "login_failed", "invalid_user"},
	form{"Successful login as {user*} from {src}", "login_success", ""},
	form{"Logout by {user*} from {src}", "session_closed", ""},
	form{"Security alert: Host {src} blocked after {_} failed logins for user {user*}", "too_many_failures", ""},
)

// parseXRDP parses the messages of xrdp and xrdp-sesman, which log a level before them.
func parseXRDP(ev *Event) {
	msg := ev.Message
	if level, rest, ok := strings.Cut(msg, "] "); ok && strings.HasPrefix(level, "[") {
		msg = rest
	}
	if !xrdpPhrases.parse(ev, msg) {
		parsePAM(ev, msg)
	}
}

var xrdpPhrases = compile(
	form{"AUTHFAIL: user={user*} ip={src} time={_}", "login_failed", ""},
	form{"AUTHFAIL: user={user*} ip={src} port={port} time={_}", "login_failed", ""},
	form{"Access permitted for user: {user*}", "login_success", ""},
	form{"A connection received from: {src} port {port}", "connection_opened", ""},
	form{"A connection received from {src} port {port}", "connection_opened", ""},
	form{"Socket {_}: AF_INET connection received from {src} port {port}", "connection_opened", ""},
	form{"Socket {_}: AF_INET6 connection received from {src} port {port}", "connection_opened", ""},
)

// parseOpenVPN parses the messages of OpenVPN about a client, "192.0.2.7:4711 TLS Auth Error: …", with "name/" before it once the client
// has a certificate.
func parseOpenVPN(ev *Event) {
	peer, what, ok := strings.Cut(ev.Message, " ")
	name, address, isNamed := strings.Cut(peer, "/")
	if !isNamed {
		name, address = "", peer
	}
	if !ok || !strings.Contains(address, ":") || !openVPNPhrases.parse(ev, what) {
		return
	}
	ev.setAddress(strings.TrimPrefix(strings.TrimPrefix(address, "udp4:"), "tcp4:"))
	if name != "" {
		ev.setUser(name)
	}
}

// parseOpenVPNFile parses a line about a client in OpenVPN's own file, which has a time before it.
func parseOpenVPNFile(ev *Event, line string) bool {
	at, rest, ok := ev.settings.cutTimestamp(line)
	rest = strings.TrimLeft(rest, " ")
	if peer, _, _ := strings.Cut(rest, " "); !ok || !strings.Contains(peer, ":") {
		return false
	}
	whole := ev.Message
	ev.Message = rest
	if parseOpenVPN(ev); !ev.has("action") {
		ev.Message = whole
		return false
	}
	ev.Time = at.at
	ev.setProgram("openvpn", "openvpn")
	return true
}

var openVPNPhrases = compile(
	form{"TLS Auth Error: Auth Username/Password verification failed for peer", "login_failed", "auth_method=password"},
	form{"TLS Auth Error: {reason*}", "login_failed", ""},
	form{"TLS Error: {reason*}", "protocol_error", ""},
	form{"VERIFY ERROR: {reason*}", "login_failed", "auth_method=certificate"},
	form{"Authenticate/Decrypt packet error: {reason*}", "protocol_error", ""},
	form{"SENT CONTROL [{user}]: 'AUTH_FAILED' (status=1)", "login_failed", ""},
	form{"[{user}] Peer Connection Initiated with {_}", "login_success", "auth_method=certificate"},
	form{"SIGTERM[{_}] received, {reason*}", "connection_closed", ""},
	form{"SIGUSR1[{_}] received, {reason*}", "connection_closed", ""},
)

// parseCharon parses the messages of strongSwan, "12[IKE] 192.0.2.7 is initiating an IKE_SA".
func parseCharon(ev *Event) {
	_, rest, ok := strings.Cut(ev.Message, "] ")
	if peer, initiating := strings.CutSuffix(rest, " is initiating an IKE_SA"); ok && initiating && !strings.Contains(peer, " ") {
		ev.setAction("connection_opened")
		ev.setSource(peer)
		return
	}
	charonPhrases.parse(ev, rest)
}

var charonPhrases = compile(
	form{"EAP method {auth_method} failed for peer {src}", "login_failed", ""},
	form{"XAuth authentication of '{user*}' failed", "login_failed", "auth_method=xauth"},
	form{"XAuth authentication of '{user*}' successful", "login_success", "auth_method=xauth"},
	form{"no IKE config found for {dst_ip}...{src}, sending NO_PROPOSAL_CHOSEN", "protocol_error", ""},
	form{"received AUTHENTICATION_FAILED notify error", "login_failed", ""},
	form{"IKE_SA {_} established between {dst_ip}[{_*}", "login_success", ""},
)

// parseSlapd parses the messages of OpenLDAP's slapd: the client is in the first message of a connection, the result in a later one.
func parseSlapd(ev *Event) { slapdPhrases.parse(ev, ev.Message) }

var slapdPhrases = compile(
	form{"conn={connection} fd={_} ACCEPT from IP={address} (IP={_})", "connection_opened", ""},
	form{"conn={connection} op={_} BIND dn=\"{user*}\" method={_}", "auth_request", ""},
	form{"conn={connection} op={_} RESULT tag=97 err=49 {_*}", "login_failed", "reason=invalidCredentials"},
	form{"conn={connection} op={_} RESULT tag=97 err=0 {_*}", "login_success", ""},
	form{"conn={connection} fd={_} closed{_*}", "connection_closed", ""},
)

// parseSamba parses the record of an authentication that Samba logs (auth_audit):
//
//	Auth: [SMB2,(null)] user [DOM]\[bob] at [Sun, 29 …] with [NTLMv2] status [NT_STATUS_WRONG_PASSWORD] workstation [PC] remote host [ipv4:192.0.2.7:4711] mapped to [DOM]\[bob]. local host [ipv4:198.51.100.1:445]
//
// The names of domain, user and workstation are text of the client: if one imitates a part of the record, it is not taken.
func parseSamba(ev *Event) {
	msg := strings.TrimLeft(ev.Message, " ")
	what, ok := strings.CutPrefix(msg, "Auth: [")
	if !ok {
		parsePAM(ev, msg)
		return
	}
	for _, once := range [...]string{"] user [", "] with [", "] status [", "] workstation [", "] remote host ["} {
		if strings.Count(what, once) != 1 {
			return
		}
	}
	ev.setAction("login_failed")
	if status := between(what, "] status [", "]"); status == "NT_STATUS_OK" {
		ev.setAction("login_success")
	} else {
		ev.set("reason", status)
	}
	ev.setUser(between(between(what, "] user [", "] at ["), `]\[`, ""))
	ev.set("auth_method", strings.ToLower(between(what, "] with [", "]")))
	ev.set("workstation", between(what, "] workstation [", "]"))
	remote := between(what, "] remote host [", "]")
	family, address, _ := strings.Cut(remote, ":")
	if port := strings.LastIndexByte(address, ':'); port >= 0 && family == "ipv6" {
		address = "[" + address[:port] + "]" + address[port:]
	}
	ev.setAddress(address)
}

// parseSambaFile parses a line of Samba's own file, which begins with blanks below a line with the time.
func parseSambaFile(ev *Event, line string) bool {
	if !strings.HasPrefix(line, "Auth: [") || !strings.Contains(line, "] remote host [") {
		return false
	}
	ev.setProgram("smbd", "samba")
	parseSamba(ev)
	return true
}

// between returns the text of s between the first begin and the end that follows it, which is that of s if it is empty.
func between(s, begin, end string) string {
	_, s, _ = strings.Cut(s, begin)
	if end == "" {
		return s
	}
	s, _, _ = strings.Cut(s, end)
	return s
}

// parseFail2ban parses the messages of fail2ban, behind "fail2ban.actions [812]: NOTICE" in its own file.
func parseFail2ban(ev *Event) {
	msg := ev.Message
	_, jail, ok := strings.Cut(msg, " [")
	if strings.HasPrefix(msg, "[") {
		jail, ok = msg[1:], true
	}
	if strings.HasPrefix(msg, "fail2ban.") {
		_, rest, found := strings.Cut(msg, "]: ")
		_, jail, ok = strings.Cut(rest, " [")
		ok = ok && found
	}
	name, what, found := strings.Cut(jail, "] ")
	if ok && found && fail2banPhrases.parse(ev, what) {
		ev.set("jail", name)
	}
}

var fail2banPhrases = compile(
	form{"Ban {src}", "banned", ""},
	form{"Restore Ban {src}", "banned", ""},
	form{"Unban {src}", "unbanned", ""},
	form{"Found {src} - {_*}", "found", ""},
	form{"Found {src}", "found", ""},
	form{"Ignore {src} {_*}", "ignored", ""},
)

// parseFail2banFile parses a line of fail2ban's own file.
func parseFail2banFile(ev *Event, line string) bool {
	at, rest, ok := ev.settings.cutTimestamp(line)
	rest = strings.TrimLeft(rest, " ")
	if !ok || !strings.HasPrefix(rest, "fail2ban.") {
		return false
	}
	ev.Time, ev.Message = at.at, rest
	ev.setProgram("fail2ban", "fail2ban")
	parseFail2ban(ev)
	return true
}
