package parse

import (
	"strconv"
	"strings"
)

// parseSSHD parses the messages of OpenSSH 3 to 10 (auth.c, auth2.c, packet.c, kex.c, sshd.c).
//
// A client chooses the user name, blanks included, so a name such as
// "x from 192.0.2.1 port 22" must not choose the source. Where the address
// follows the name it is taken from the end of the message; where it precedes
// text of the client, from the beginning.
func parseSSHD(ev *Event) {
	msg := strings.TrimSuffix(strings.TrimRight(ev.Message, " "), " [preauth]")
	for _, level := range [...]string{"error: ", "fatal: "} {
		msg = strings.TrimPrefix(msg, level)
	}
	if parseSSHDLogin(ev, msg) || sshdPhrases.parse(ev, msg) || parseSSHDRefused(ev, msg) || parseSSHDChangedUser(ev, msg) {
		return
	}
	parsePAM(ev, msg)
}

// sshdPhrases are what sshd logs besides results of an authentication. What a client sends is in *: names, reasons to disconnect, its
// version and offers. A host name of the domain name system is chosen by the owner of the address.
var sshdPhrases = compile(
	form{"Invalid user {user*} from {src}[[ port {port}]]", "invalid_user", ""},
	form{"Invalid user from {src}[[ port {port}]]", "invalid_user", ""},
	form{"Illegal user {user*} from {src}[[ port {port}]]", "invalid_user", ""}, // before OpenSSH 3.9
	form{"Illegal user from {src}[[ port {port}]]", "invalid_user", ""},
	form{"input_userauth_request: invalid user {user*}", "auth_request", "invalid_user"},
	form{"input_userauth_request: illegal user {user*}", "auth_request", "invalid_user"},

	form{"maximum authentication attempts exceeded for invalid user {user*} from {src} port {port} ssh2", "login_failed", "invalid_user"},
	form{"maximum authentication attempts exceeded for {user*} from {src} port {port} ssh2", "login_failed", ""},
	form{"ROOT LOGIN REFUSED FROM {src}[[ port {port}]]", "login_failed", "user=root"},
	form{"Access denied for user {user*} by PAM account configuration", "login_failed", "auth_method=pam"},
	form{"Authentication tried for {user*} with correct key but not from a permitted host (host={_}, ip={src})[[.]]", "login_failed", "auth_method=publickey"},
	form{"Authentication tried for {user*} with correct key but not from a permitted host (host={_}, ip={src}, required={_})[[.]]", "login_failed", "auth_method=publickey"},
	form{"PAM: Authentication failure for illegal user {user*} from {src}", "login_failed", "auth_method=pam invalid_user"},
	form{"PAM: Authentication failure for invalid user {user*} from {src}", "login_failed", "auth_method=pam invalid_user"},
	form{"PAM: Authentication failure for {user*} from {src}", "login_failed", "auth_method=pam"},
	form{"PAM: authentication error for illegal user {user*} from {src}", "login_failed", "auth_method=pam invalid_user"}, // FreeBSD
	form{"PAM: authentication error for {user*} from {src}", "login_failed", "auth_method=pam"},
	form{"PAM: User not known to the underlying authentication module for illegal user {user*} from {src}", "login_failed", "auth_method=pam invalid_user"},
	form{"PAM: User not known to the underlying authentication module for {user*} from {src}", "login_failed", "auth_method=pam"},
	form{"PAM: Permission denied for illegal user {user*} from {src}", "login_failed", "auth_method=pam invalid_user"},
	form{"PAM: Permission denied for {user*} from {src}", "login_failed", "auth_method=pam"},
	form{"PAM: User account has expired for {user*} from {src}", "login_failed", "auth_method=pam"},
	form{"PAM: Have exhausted maximum number of retries for service for {user*} from {src}", "login_failed", "auth_method=pam"},

	form{"Disconnecting {peer*}: Too many authentication failures", "too_many_failures", ""},
	form{"Disconnecting: Too many authentication failures for invalid user {user*}", "too_many_failures", "invalid_user"},
	form{"Disconnecting: Too many authentication failures for {user*}", "too_many_failures", ""},
	form{"Disconnecting: {reason*}", "connection_closed", ""},
	form{"Received disconnect from {src} port {port}:{reason*}", "connection_closed", ""},
	form{"Received disconnect from {src}: {reason*}", "connection_closed", ""},
	form{"Connection closed by {peer*}", "connection_closed", ""},
	form{"Connection reset by {peer*}", "connection_closed", ""},
	form{"Disconnected from {peer*}", "connection_closed", ""},
	form{"Timeout, client not responding from {peer*}", "connection_closed", ""},
	form{"Read error from remote host {src} port {port}: {reason*}", "connection_closed", ""},
	form{"Timeout before authentication for connection from {src} to {dst_ip}, pid = {_}", "auth_timeout", ""}, // since 9.8
	form{"Timeout before authentication for {src}[[ port {port}]]", "auth_timeout", ""},

	form{"Did not receive identification string from {src}[[ port {port}]]", "connection_closed", ""},
	form{"Bad protocol version identification '{client*}' from {src}[[ port {port}]]", "protocol_error", ""},
	form{"Protocol major versions differ for {src} port {port}: {reason*}", "protocol_error", ""},
	form{"Protocol major versions differ for {src}: {reason*}", "protocol_error", ""},
	form{"Protocol major versions differ: {reason*}", "protocol_error", ""},
	form{"Unable to negotiate with {src} port {port}: {reason*}", "protocol_error", ""},
	form{"Unable to negotiate with {src}: {reason*}", "protocol_error", ""},
	form{"banner exchange: Connection from {src} port {port}: {reason*}", "protocol_error", ""},
	form{"banner exchange: Connection to {src} port {port}: {reason*}", "protocol_error", ""},
	form{"ssh_dispatch_run_fatal: Connection from {src} port {port}: {reason*}", "protocol_error", ""},
	form{"ssh_dispatch_run_fatal: Connection to {src} port {port}: {reason*}", "protocol_error", ""},
	form{"kex_exchange_identification: {reason*}", "protocol_error", ""},
	form{"kex_protocol_error: {reason*}", "protocol_error", ""},
	form{"kex protocol error: {reason*}", "protocol_error", ""},
	form{"no matching {reason*}", "protocol_error", ""},
	form{"Bad packet length {reason*}", "protocol_error", ""},
	form{"Corrupted MAC on input.", "protocol_error", ""},
	form{"scanned from {src} port {port} with {client*}.  Don't panic.", "scanned", ""},
	form{"scanned from {src} with {client*}.  Don't panic.", "scanned", ""},
	form{"probed from {src} port {port} with {client*}.  Don't panic.", "scanned", ""},

	form{"reverse mapping checking getaddrinfo for {host_name*} [{src}] failed[[.]][[ - POSSIBLE BREAK-IN ATTEMPT!]]", "name_mismatch", ""},
	form{"Address {src} maps to {host_name*}, but this does not map back to the address[[.]][[ - POSSIBLE BREAK-IN ATTEMPT!]]", "name_mismatch", ""},
	form{"Nasty PTR record \"{host_name*}\" is set up for {src}, ignoring", "name_mismatch", ""},

	form{"drop connection #{_} from [{src}]:{port} on [{dst_ip}]:{dst_port} {reason*}", "connection_refused", ""},
	form{"refused connect from {host_name*} ({src})", "connection_refused", ""},
	form{"refused connect from {src}", "connection_refused", ""},
	form{"srclimit_penalise: {_} new {src}/{_} deferred penalty {reason*}", "penalty", ""},
	form{"srclimit_penalise: {_} new {src}/{_} active penalty {reason*}", "penalty", ""},
	form{"beginning MaxStartups throttling", "throttling", ""},
	form{"exited MaxStartups throttling {reason*}", "throttling", ""},

	form{"Connection from {src} port {port} on {dst_ip} port {dst_port}[[ rdomain {_}]]", "connection_opened", ""},
	form{"Connection from {src} port {port}", "connection_opened", ""},
	form{"Starting session: shell on {tty} for {user*} from {src} port {port} id {_}", "session_opened", ""},
	form{"Starting session: {command*}", "session_opened", ""},
	form{"Close session: user {user*} from {src} port {port} id {_}", "session_closed", ""},
	form{"subsystem request for {subsystem} by user {user*}", "subsystem", ""},
	form{"subsystem request for {subsystem*}", "subsystem", ""},
	form{"Server listening on {dst_ip} port {dst_port}.", "listening", ""},
	form{"Received signal {_}; terminating.", "stopped", ""},
	form{"Received SIGHUP; restarting.", "reloaded", ""},
	form{"Authentication refused: {reason*}", "auth_refused", ""},
	form{"User {user*} authorized keys {path} is not a regular file", "auth_refused", ""},
)

// sshdResults are the words of auth_log for the result of an authentication.
var sshdResults = map[string]string{
	"Failed": "login_failed", "Accepted": "login_success", "Postponed": "login_postponed", "Partial": "login_partial",
}

// parseSSHDLogin parses
//
//	Failed password for [invalid user ]U from IP port N ssh2
//	Accepted publickey for U from IP port N ssh2: RSA SHA256:…
func parseSSHDLogin(ev *Event, msg string) bool {
	verb, rest, _ := strings.Cut(msg, " ")
	action, known := sshdResults[verb]
	if !known {
		return false
	}
	method, rest, ok := strings.Cut(rest, " for ")
	if !ok || strings.Contains(method, " ") {
		return false
	}
	ev.setAction(action)
	ev.set("auth_method", method)
	for _, kind := range [...]string{"invalid user ", "illegal user "} {
		if name, ok := strings.CutPrefix(rest, kind); ok {
			ev.setFlag("invalid_user")
			rest = name
			break
		}
	}
	if at, ok := lastPeer(rest); ok {
		ev.setUser(at.before)
		ev.setSource(at.ip)
		ev.setPort(at.port)
	}
	return true
}

// parseSSHDRefused parses "User U from H not allowed because not listed in
// AllowUsers". The last reason counts, because it is the one that sshd wrote.
func parseSSHDRefused(ev *Event, msg string) bool {
	rest, ok := strings.CutPrefix(msg, "User ")
	if !ok {
		return false
	}
	end := strings.LastIndex(rest, " not allowed because ")
	if end < 0 {
		return false
	}
	ev.setAction("login_failed")
	ev.set("reason", rest[end+len(" not allowed because "):])
	if i := strings.LastIndex(rest[:end], " from "); i >= 0 {
		ev.setUser(rest[:i])
		ev.setSource(rest[i+len(" from ") : end])
	}
	return true
}

// parseSSHDChangedUser parses
//
//	Disconnecting [invalid|authenticating] user U IP port N: Change of username or service not allowed: (U,S) -> (V,T)
//
// where U, V, S and T are text of the client. The address is known only if none of them imitates the text around it.
func parseSSHDChangedUser(ev *Event, msg string) bool {
	const reason = ": Change of username or service not allowed: ("
	rest, ok := strings.CutPrefix(msg, "Disconnecting ")
	peer, _, found := strings.Cut(rest, reason)
	if !ok || !found {
		return false
	}
	ev.setAction("connection_closed")
	if strings.Count(rest, reason) == 1 {
		parsePeer(ev, peer)
	}
	return true
}

// parsePeer parses "[[invalid|authenticating] user U ]IP[ port N]", as sshd names the other side of a connection.
func parsePeer(ev *Event, s string) {
	s = cutTrailingPort(ev, s)
	i := strings.LastIndexByte(s, ' ')
	ev.setSource(s[i+1:])
	if i < 0 {
		return
	}
	name := strings.TrimPrefix(s[:i], "authenticating ")
	if rest, ok := strings.CutPrefix(name, "invalid "); ok {
		ev.setFlag("invalid_user")
		name = rest
	}
	if name, ok := strings.CutPrefix(name, "user "); ok {
		ev.setUser(name)
	}
}

// cutTrailingPort removes " port N" from the end of s.
func cutTrailingPort(ev *Event, s string) string {
	i := strings.LastIndex(s, " port ")
	if i < 0 {
		return s
	}
	n, err := strconv.ParseUint(s[i+len(" port "):], 10, 16)
	if err != nil {
		return s
	}
	ev.setPort(uint16(n))
	return s[:i]
}

// peer is an address in a message and the text before it.
type peer struct {
	before string
	ip     string
	port   uint16
}

// lastPeer returns the last " from IP port N ssh2" followed only by what sshd
// itself adds: nothing, or the type and fingerprint of a key. The id of a
// certificate, after the address, is text of the client just as the name before
// it; a message with one is accepted only if it has a single address.
func lastPeer(s string) (peer, bool) {
	const from = " from "
	end := len(s)
	found := make([]peer, 0, 2)
	trailer := ""
	for end > 0 && len(found) < 2 {
		i := strings.LastIndex(s[:end], from)
		if i < 0 {
			break
		}
		if at, rest, ok := cutPeer(s[i+len(from):]); ok {
			at.before = s[:i]
			found = append(found, at)
			trailer = rest
			if isKeyOrEmpty(rest) {
				return at, len(found) == 1
			}
		}
		end = i
	}
	if len(found) != 1 || !strings.Contains(trailer, " ID ") {
		return peer{}, false
	}
	return found[0], true
}

// cutPeer parses "IP port N[ ssh2][: trailer]".
func cutPeer(s string) (at peer, trailer string, ok bool) {
	ip, rest, _ := strings.Cut(s, " ")
	rest, ok = strings.CutPrefix(rest, "port ")
	if !ok {
		return peer{}, "", false
	}
	port := leadingDigits(rest)
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return peer{}, "", false
	}
	rest = rest[len(port):]
	for _, version := range [...]string{" ssh2", " ssh1", " ssh"} {
		if after, ok := strings.CutPrefix(rest, version); ok {
			rest = after
			break
		}
	}
	return peer{ip: ip, port: uint16(n)}, strings.TrimPrefix(rest, ": "), true
}

// isKeyOrEmpty reports whether trailer is empty or a key such as "RSA SHA256:…",
// which a client cannot choose.
func isKeyOrEmpty(trailer string) bool {
	if trailer == "" {
		return true
	}
	kind, print, ok := strings.Cut(trailer, " ")
	return ok && kind != "" && !strings.Contains(print, " ") &&
		(strings.HasPrefix(print, "SHA256:") || strings.HasPrefix(print, "MD5:"))
}

func leadingDigits(s string) string {
	return s[:len(s)-len(strings.TrimLeft(s, "0123456789"))]
}
