package parse

import (
	"strconv"
	"strings"
)

// sshd reads the messages of OpenSSH (auth.c, auth2.c, packet.c). The user name
// in them is whatever the client sent, blanks and all, so that a name such as
// "x from 192.0.2.1 port 22" must not choose the source: where the address
// follows the name it is taken from the end of the message, where it precedes
// free text from its beginning.
func sshd(ev *Event) {
	msg := repeated(ev, ev.Message)
	msg = strings.TrimSuffix(strings.TrimRight(msg, " "), " [preauth]")
	msg = strings.TrimPrefix(msg, "error: ")
	switch {
	case sshdLogin(ev, msg), sshdInvalid(ev, msg), sshdRefused(ev, msg), sshdClosed(ev, msg):
	case pamFailure(ev, msg), pamSession(ev, msg):
	}
}

// repeated unwraps "message repeated 2 times: [ … ]", which rsyslog writes.
func repeated(ev *Event, msg string) string {
	rest, ok := strings.CutPrefix(msg, "message repeated ")
	if !ok {
		return msg
	}
	times, inner, ok := strings.Cut(rest, " times: [")
	n, err := strconv.ParseInt(times, 10, 32)
	if !ok || err != nil || !strings.HasSuffix(inner, "]") {
		return msg
	}
	ev.Fields["repeated"] = n
	return strings.TrimPrefix(inner[:len(inner)-1], " ")
}

// sshdLogin reads "Failed password for [invalid user] U from IP port N ssh2",
// "Accepted publickey for U from IP port N ssh2: RSA SHA256:…" and
// "maximum authentication attempts exceeded for …".
func sshdLogin(ev *Event, msg string) bool {
	rest, ok := strings.CutPrefix(msg, "maximum authentication attempts exceeded for ")
	if ok {
		ev.action("login_failed")
		return sshdAttempt(ev, rest)
	}
	verb, rest, _ := strings.Cut(msg, " ")
	method, rest, ok := strings.Cut(rest, " for ")
	if !ok || strings.Contains(method, " ") {
		return false
	}
	switch verb {
	case "Failed":
		ev.action("login_failed")
	case "Accepted":
		ev.action("login_success")
	default:
		return false
	}
	ev.set("auth_method", method)
	return sshdAttempt(ev, rest)
}

// sshdAttempt reads "[invalid user ]U from IP port N ssh2[: key]".
func sshdAttempt(ev *Event, s string) bool {
	if rest, ok := strings.CutPrefix(s, "invalid user "); ok {
		ev.Fields["invalid_user"] = true
		s = rest
	}
	at, ok := lastPeer(s)
	if !ok {
		return true
	}
	ev.user(at.before)
	ev.source(at.ip)
	ev.port(at.port)
	return true
}

func sshdInvalid(ev *Event, msg string) bool {
	rest, ok := strings.CutPrefix(msg, "Invalid user ")
	if !ok {
		rest, ok = strings.CutPrefix(msg, "Illegal user ")
	}
	if !ok {
		return false
	}
	ev.action("invalid_user")
	rest = sshdPort(ev, rest)
	if i := strings.LastIndex(rest, " from "); i >= 0 {
		ev.source(rest[i+len(" from "):])
		ev.user(rest[:i])
	} else if host, ok := strings.CutPrefix(rest, "from "); ok { // an empty name
		ev.source(host)
	}
	return true
}

// sshdRefused reads "User U from H not allowed because not listed in AllowUsers".
// The reason is sshd's own, so the last one counts.
func sshdRefused(ev *Event, msg string) bool {
	rest, ok := strings.CutPrefix(msg, "User ")
	end := strings.LastIndex(rest, " not allowed because ")
	if !ok || end < 0 {
		return false
	}
	ev.action("login_failed")
	if i := strings.LastIndex(rest[:end], " from "); i >= 0 {
		ev.user(rest[:i])
		ev.source(rest[i+len(" from ") : end])
	}
	return true
}

// sshdClosed reads the ends of a connection. "Received disconnect from IP …" and
// "Did not receive identification string from IP …" begin with the address; the
// others end with it.
func sshdClosed(ev *Event, msg string) bool {
	for _, head := range [...]string{"Received disconnect from ", "Did not receive identification string from "} {
		if rest, ok := strings.CutPrefix(msg, head); ok {
			ev.action("connection_closed")
			sshdLeading(ev, rest)
			return true
		}
	}
	for _, head := range [...]string{"Connection closed by ", "Connection reset by ", "Disconnected from "} {
		if rest, ok := strings.CutPrefix(msg, head); ok {
			ev.action("connection_closed")
			sshdTrailing(ev, rest)
			return true
		}
	}
	return false
}

// sshdLeading reads "IP port N:11: text" and the older "IP: 11: text".
func sshdLeading(ev *Event, s string) {
	ip, rest, _ := strings.Cut(s, " ")
	ev.source(strings.TrimSuffix(ip, ":"))
	if rest, ok := strings.CutPrefix(rest, "port "); ok {
		if n, err := strconv.ParseUint(digits(rest), 10, 16); err == nil {
			ev.port(uint16(n))
		}
	}
}

// sshdTrailing reads "[[invalid|authenticating] user U ]IP[ port N]".
func sshdTrailing(ev *Event, s string) {
	s = sshdPort(ev, s)
	i := strings.LastIndexByte(s, ' ')
	ev.source(s[i+1:])
	if i < 0 {
		return
	}
	name := strings.TrimPrefix(s[:i], "authenticating ")
	if rest, ok := strings.CutPrefix(name, "invalid "); ok {
		ev.Fields["invalid_user"] = true
		name = rest
	}
	if name, ok := strings.CutPrefix(name, "user "); ok {
		ev.user(name)
	}
}

// sshdPort takes " port N" off the end of s.
func sshdPort(ev *Event, s string) string {
	i := strings.LastIndex(s, " port ")
	if i < 0 {
		return s
	}
	n, err := strconv.ParseUint(s[i+len(" port "):], 10, 16)
	if err != nil {
		return s
	}
	ev.port(uint16(n))
	return s[:i]
}

// peer is an address found in a message, and what stands before it.
type peer struct {
	before string
	ip     string
	port   uint16
}

// lastPeer finds the last " from IP port N ssh2" whose rest is only what sshd adds
// itself: nothing, or a key's type and fingerprint. The id of a certificate is
// the client's text behind the address as the name is before it; with one, an
// address that is not the only one is nobody's.
func lastPeer(s string) (peer, bool) {
	const from = " from "
	end := len(s)
	var found []peer
	trailer := ""
	for end > 0 && len(found) < 2 {
		i := strings.LastIndex(s[:end], from)
		if i < 0 {
			break
		}
		if at, rest, ok := peerAt(s[i+len(from):]); ok {
			at.before = s[:i]
			found = append(found, at)
			trailer = rest
			if isKey(rest) {
				return at, len(found) == 1
			}
		}
		end = i
	}
	return one(found, trailer)
}

// one accepts the only address of a message with a certificate in its trailer.
func one(found []peer, trailer string) (peer, bool) {
	if len(found) != 1 || !strings.Contains(trailer, " ID ") {
		return peer{}, false
	}
	return found[0], true
}

// peerAt reads "IP port N[ ssh2][: trailer]".
func peerAt(s string) (at peer, trailer string, ok bool) {
	ip, rest, _ := strings.Cut(s, " ")
	rest, ok = strings.CutPrefix(rest, "port ")
	if !ok {
		return peer{}, "", false
	}
	n, err := strconv.ParseUint(digits(rest), 10, 16)
	if err != nil {
		return peer{}, "", false
	}
	rest = rest[len(digits(rest)):]
	for _, version := range [...]string{" ssh2", " ssh1", " ssh"} {
		if after, ok := strings.CutPrefix(rest, version); ok {
			rest = after
			break
		}
	}
	return peer{ip: ip, port: uint16(n)}, strings.TrimPrefix(rest, ": "), true
}

// isKey knows the trailer that is not the client's to write: none, or
// "RSA SHA256:…".
func isKey(trailer string) bool {
	if trailer == "" {
		return true
	}
	kind, print, ok := strings.Cut(trailer, " ")
	return ok && kind != "" && !strings.Contains(print, " ") &&
		(strings.HasPrefix(print, "SHA256:") || strings.HasPrefix(print, "MD5:"))
}

// digits returns the digits at the start of s.
func digits(s string) string {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	return s[:i]
}
