package parse

import (
	"strconv"
	"strings"
)

// parseSSHD parses the messages of OpenSSH (auth.c, auth2.c, packet.c).
//
// A client chooses the user name, blanks included, so a name such as
// "x from 192.0.2.1 port 22" must not choose the source. Where the address
// follows the name it is taken from the end of the message; where it precedes
// text of the client, from the beginning.
func parseSSHD(ev *Event) {
	msg := cutRepeated(ev, ev.Message)
	msg = strings.TrimSuffix(strings.TrimRight(msg, " "), " [preauth]")
	msg = strings.TrimPrefix(msg, "error: ")
	switch {
	case parseSSHDLogin(ev, msg), parseSSHDInvalidUser(ev, msg), parseSSHDRefused(ev, msg), parseSSHDClosed(ev, msg):
	case parsePAMFailure(ev, msg), parsePAMSession(ev, msg):
	}
}

// cutRepeated unwraps "message repeated 2 times: [ … ]", which rsyslog writes.
func cutRepeated(ev *Event, msg string) string {
	rest, ok := strings.CutPrefix(msg, "message repeated ")
	if !ok {
		return msg
	}
	times, inner, ok := strings.Cut(rest, " times: [")
	n, err := strconv.ParseInt(times, 10, 32)
	if !ok || err != nil || !strings.HasSuffix(inner, "]") {
		return msg
	}
	ev.setInt("repeated", n)
	return strings.TrimPrefix(inner[:len(inner)-1], " ")
}

// parseSSHDLogin parses
//
//	Failed password for [invalid user ]U from IP port N ssh2
//	Accepted publickey for U from IP port N ssh2: RSA SHA256:…
//	maximum authentication attempts exceeded for [invalid user ]U from IP port N ssh2
func parseSSHDLogin(ev *Event, msg string) bool {
	rest, ok := strings.CutPrefix(msg, "maximum authentication attempts exceeded for ")
	if ok {
		ev.setAction("login_failed")
	} else {
		var verb, method string
		verb, rest, _ = strings.Cut(msg, " ")
		method, rest, ok = strings.Cut(rest, " for ")
		if !ok || strings.Contains(method, " ") {
			return false
		}
		switch verb {
		case "Failed":
			ev.setAction("login_failed")
		case "Accepted":
			ev.setAction("login_success")
		default:
			return false
		}
		ev.set("auth_method", method)
	}
	if name, ok := strings.CutPrefix(rest, "invalid user "); ok {
		ev.setFlag("invalid_user")
		rest = name
	}
	if at, ok := lastPeer(rest); ok {
		ev.setUser(at.before)
		ev.setSource(at.ip)
		ev.setPort(at.port)
	}
	return true
}

// parseSSHDInvalidUser parses "Invalid user U from IP[ port N]"; the user may be
// empty.
func parseSSHDInvalidUser(ev *Event, msg string) bool {
	rest, ok := strings.CutPrefix(msg, "Invalid user ")
	if !ok {
		rest, ok = strings.CutPrefix(msg, "Illegal user ") // older OpenSSH
	}
	if !ok {
		return false
	}
	ev.setAction("invalid_user")
	rest = cutTrailingPort(ev, rest)
	if i := strings.LastIndex(rest, " from "); i >= 0 {
		ev.setSource(rest[i+len(" from "):])
		ev.setUser(rest[:i])
	} else if host, ok := strings.CutPrefix(rest, "from "); ok {
		ev.setSource(host)
	}
	return true
}

// parseSSHDRefused parses "User U from H not allowed because not listed in
// AllowUsers". The last reason counts, because it is the one that sshd wrote.
func parseSSHDRefused(ev *Event, msg string) bool {
	rest, ok := strings.CutPrefix(msg, "User ")
	end := strings.LastIndex(rest, " not allowed because ")
	if !ok || end < 0 {
		return false
	}
	ev.setAction("login_failed")
	if i := strings.LastIndex(rest[:end], " from "); i >= 0 {
		ev.setUser(rest[:i])
		ev.setSource(rest[i+len(" from ") : end])
	}
	return true
}

// parseSSHDClosed parses the end of a connection. In the first two forms text of
// the client may follow the address, in the others the user name precedes it:
//
//	Received disconnect from IP port N:11: text        (older: IP: 11: text)
//	Did not receive identification string from IP port N
//	Connection closed by [[invalid|authenticating] user U ]IP[ port N]
func parseSSHDClosed(ev *Event, msg string) bool {
	for _, head := range [...]string{"Received disconnect from ", "Did not receive identification string from "} {
		if rest, ok := strings.CutPrefix(msg, head); ok {
			ev.setAction("connection_closed")
			ip, rest, _ := strings.Cut(rest, " ")
			ev.setSource(strings.TrimSuffix(ip, ":"))
			if rest, ok := strings.CutPrefix(rest, "port "); ok {
				if n, err := strconv.ParseUint(leadingDigits(rest), 10, 16); err == nil {
					ev.setPort(uint16(n))
				}
			}
			return true
		}
	}
	for _, head := range [...]string{"Connection closed by ", "Connection reset by ", "Disconnected from "} {
		if rest, ok := strings.CutPrefix(msg, head); ok {
			ev.setAction("connection_closed")
			parseSSHDUserAtIP(ev, rest)
			return true
		}
	}
	return false
}

// parseSSHDUserAtIP parses "[[invalid|authenticating] user U ]IP[ port N]".
func parseSSHDUserAtIP(ev *Event, s string) {
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
	var found []peer
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
