package parse

import "strings"

// parseAsterisk parses a line of Asterisk's own file:
//
//	[Nov 29 20:00:00] NOTICE[812][C-00000001]: chan_sip.c:28468 handle_request_register: Registration from '"100" <sip:100@h>' failed for '192.0.2.7:5060' - Wrong password
//	[2026-11-29 20:00:00] SECURITY[812]: res_security_log.c:114 security_event_stasis_cb: SecurityEvent="InvalidPassword",…
func parseAsterisk(ev *Event, line string) bool {
	stamp, rest, ok := strings.Cut(line[1:], "] ")
	if !ok {
		return false
	}
	level, _, _ := strings.Cut(rest, "[")
	if !asteriskLevels[level] {
		return false
	}
	at, _, ok := ev.settings.cutTimestamp(stamp + " ")
	_, rest, found := strings.Cut(rest, "]: ")
	_, rest, hasFile := strings.Cut(rest, ": ")
	if !ok || !found || !hasFile {
		return false
	}
	ev.Time, ev.Message = at.at, rest
	ev.set("level", strings.ToLower(level))
	ev.setProgram("asterisk", "asterisk")
	if level == "SECURITY" {
		parseAsteriskEvent(ev, rest)
	} else {
		asteriskPhrases.parse(ev, rest)
	}
	return true
}

var asteriskLevels = map[string]bool{"NOTICE": true, "WARNING": true, "ERROR": true, "SECURITY": true, "VERBOSE": true}

// The name of a caller is text of the client. The reason is one of Asterisk's, without a quote.
var asteriskPhrases = compile(
	form{"Registration from '{caller*}' failed for '{address}' - Wrong password", "login_failed", "auth_method=password"},
	form{"Registration from '{caller*}' failed for '{address}' - No matching peer found", "login_failed", "invalid_user"},
	form{"Registration from '{caller*}' failed for '{address}' - Username/auth name mismatch", "login_failed", ""},
	form{"Registration from '{caller*}' failed for '{address}' - Device does not match ACL", "login_failed", ""},
	form{"Registration from '{caller*}' failed for '{address}' - Peer is not supposed to register", "login_failed", ""},
	form{"Request '{_}' from '{caller*}' failed for '{address}' (callid: {_}) - No matching endpoint found", "login_failed", "invalid_user"},
	form{"Request '{_}' from '{caller*}' failed for '{address}' (callid: {_}) - Failed to authenticate", "login_failed", ""},
	form{"Call from '{user*}' ({address}) to extension '{extension}' rejected because extension not found in context '{_}'.", "rejected", ""},
)

var asteriskEvents = map[string]string{
	"InvalidPassword": "login_failed", "InvalidAccountID": "login_failed", "ChallengeResponseFailed": "login_failed",
	"FailedACL": "login_failed", "SuccessfulAuth": "login_success",
}

// parseAsteriskEvent parses key="value" pairs. The account is text of the client and precedes the address; Asterisk escapes quotes.
func parseAsteriskEvent(ev *Event, s string) {
	event := between(s, `SecurityEvent="`, `"`)
	ev.set("event", event)
	if action := asteriskEvents[event]; action != "" {
		ev.setAction(action)
	}
	ev.setUser(between(s, `AccountID="`, `"`))
	if parts := strings.Split(between(s, `RemoteAddress="`, `"`), "/"); len(parts) == 4 && strings.Count(s, `RemoteAddress="`) == 1 {
		ev.setSource(parts[2])
		if isCapture("port", parts[3]) {
			ev.capture("port", parts[3])
		}
	}
}
