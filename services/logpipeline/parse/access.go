package parse

import (
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/sigma"
)

// parseAccess parses the access logs of web servers, of which these are the common and the combined format of Apache and nginx:
//
//	[vhost ]client ident user [time] "METHOD URI PROTOCOL" status bytes[ "referer" "agent"][ more]
//
// ident and user may be missing, and a list of forwarded addresses be before or after the client. Servers escape quotes inside of fields, so
// the first `] "` ends the time, no matter what user name the client sent.
func parseAccess(ev *Event, line string) bool {
	head, rest, ok := strings.Cut(line, `] "`)
	open := strings.LastIndex(head, "[")
	if !ok || open <= 0 || head[open-1] != ' ' {
		return false
	}
	at, ok := ev.settings.accessTime(head[open+1:])
	if !ok {
		return false
	}
	cutRequest := cutQuoted
	if strings.IndexByte(head[open:], ' ') == len("[10/Oct/2026") { // the servers of Python escape no quotes
		cutRequest = cutLastQuoted
	}
	request, rest, ok := cutRequest(rest)
	if !ok {
		return false
	}
	who := parseAccessHead(strings.TrimRight(head[:open], " "))
	ev.Time = at
	ev.Logsource = sigma.Logsource{Category: "webserver"}
	ev.set("cs-host", who.host)
	ev.setWebUser(unescape(who.user))
	ev.setRequest(unescape(request))
	lists := parseAccessTail(ev, rest)
	who.setClient(ev, lists)
	return true
}

// accessTime reads the time of an access log: that of the common log format, ISO 8601, or seconds since 1970.
func (s *settings) accessTime(text string) (time.Time, bool) {
	layouts := [...]string{"02/Jan/2006:15:04:05 -0700", "02/Jan/2006:15:04:05", "02/Jan/2006 15:04:05"}
	if len(text) > 4 && text[4] == '-' {
		layouts = [...]string{time.RFC3339, "2006-01-02T15:04:05-0700", "2006-01-02 15:04:05 -0700"}
	}
	for _, layout := range layouts {
		if at, err := time.ParseInLocation(layout, text, s.zone); err == nil {
			return at, true
		}
	}
	return epochTime(text)
}

// cutLastQuoted splits s at the last quote that a status and a size follow.
func cutLastQuoted(s string) (inside, rest string, ok bool) {
	end := strings.LastIndex(s, `" `)
	if end < 0 || strings.Trim(s[end+2:], "0123456789 -") != "" {
		return "", "", false
	}
	return s[:end], s[end+1:], true
}

// parseAccessTail parses ` status bytes[ "referer" "agent"][ more]` and returns the quoted texts behind, which are lists of addresses.
func parseAccessTail(ev *Event, s string) (lists []string) {
	status, rest, _ := strings.Cut(strings.TrimPrefix(s, " "), " ")
	size, rest, _ := strings.Cut(rest, " ")
	ev.setNumber("sc-status", status)
	ev.setNumber("sc-bytes", size)
	referer, rest, ok := cutQuoted(strings.TrimPrefix(rest, `"`))
	if !ok {
		return nil
	}
	agent, rest, ok := cutQuoted(strings.TrimPrefix(strings.TrimPrefix(rest, " "), `"`))
	ev.set("cs-referer", dashToEmpty(unescape(referer)))
	if ok {
		ev.setAgent(unescape(agent))
	}
	return parseAccessMore(ev, rest)
}

// accessLabels are the fields of labelled values behind the agent, as in `host="www"`.
var accessLabels = map[string]string{
	"host": "cs-host", "vhost": "cs-host", "http_host": "cs-host", "server_name": "cs-host", "cookie": "cs-cookie", "user": "cs-username",
}

// parseAccessMore parses what is behind the agent. Only quoted texts are certain to be one value.
func parseAccessMore(ev *Event, s string) (lists []string) {
	for {
		before, rest, ok := strings.Cut(s, `"`)
		if !ok {
			return lists
		}
		value, rest, ok := cutQuoted(rest)
		if !ok {
			return lists
		}
		s = rest
		label, labelled := strings.CutSuffix(before[strings.LastIndexByte(before, ' ')+1:], "=")
		switch {
		case isForwarded(value) && (!labelled || isForwardedLabel(label)):
			lists = append(lists, value)
		case labelled && accessLabels[label] != "":
			ev.setIfNew(accessLabels[label], dashToEmpty(unescape(value)))
		}
	}
}

func isForwardedLabel(label string) bool {
	return strings.Contains(label, "forwarded") || label == "xff"
}

// epochTime reads seconds since 1970, with or without a fraction.
func epochTime(text string) (time.Time, bool) {
	seconds, fraction, _ := strings.Cut(text, ".")
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil || len(seconds) != len("1764446400") || len(fraction) > 9 {
		return time.Time{}, false
	}
	nanoseconds, err := strconv.ParseInt((fraction + "000000000")[:9], 10, 64)
	return time.Unix(n, nanoseconds).UTC(), err == nil
}
