package parse

import (
	"strconv"
	"strings"
	"time"
)

// maxParams is how many structured-data parameters of one line are kept.
const maxParams = 128

// param is a parameter of structured data, with the name of its field.
type param struct{ name, value string }

// cutVersion parses the VERSION of RFC 5424, with blanks around it. Every version is read as the only one there is, 1.
func cutVersion(s string) (rest string, ok bool) {
	_, rest, ok = cutNumber(strings.TrimLeft(s, " "), 1, 2)
	if !ok || !strings.HasPrefix(rest, " ") {
		return "", false
	}
	rest = strings.TrimLeft(rest, " ")
	return rest, rest != "" && (isDigit(rest[0]) || strings.HasPrefix(rest, "- "))
}

// cutRFC5424 parses what follows "<PRI>1 ", and reports whether it is RFC 5424; if not, h is unchanged. Of the fields after the time and
// the host any may be missing at the end, and blanks may be repeated.
func (p *settings) cutRFC5424(h *header, s string) bool {
	var at time.Time
	if rest, isNil := strings.CutPrefix(s, "- "); isNil { // the NILVALUE
		s = strings.TrimLeft(rest, " ")
	} else if t, rest, ok := p.cutTimestamp(s); ok {
		at, s = t.at, rest
	} else {
		return false
	}
	host, s := cutWord(s)
	app, s := cutWord(s)
	if host == "" || app == "" || host != "-" && !isHost(host) || strings.HasSuffix(app, ":") || strings.HasSuffix(app, "]") {
		return false // a line of RFC 3164
	}
	h.format, h.at, h.host = RFC5424, at, dashToEmpty(host)
	h.tag.name, h.tag.process = dashToEmpty(app), programOf(dashToEmpty(app))
	h.cutIdentity(s)
	return true
}

// cutIdentity parses "PROCID MSGID STRUCTURED-DATA MSG". Without structured data, words that are no ids belong to the message.
func (h *header) cutIdentity(s string) {
	procid, afterProcid := cutWord(s)
	msgid, afterMsgid := cutWord(afterProcid)
	params, msg, ok := cutStructuredData(afterMsgid)
	switch {
	case ok, isID(procid) && isID(msgid):
		h.params = params
		h.msgid = dashToEmpty(msgid)
	case isID(procid):
		msg = afterProcid
	default:
		procid, msg = "", s
	}
	if !ok && isID(procid) && isID(msgid) {
		msg = afterMsgid
	}
	h.pid, _ = strconv.ParseInt(procid, 10, 64)
	h.message = strings.TrimPrefix(msg, "\ufeff")
}

// cutWord returns the text up to a blank, and what follows the blanks.
func cutWord(s string) (word, rest string) {
	word, rest, _ = strings.Cut(s, " ")
	return word, strings.TrimLeft(rest, " ")
}

// isID reports whether s can be a PROCID or MSGID, other than a word of a message.
func isID(s string) bool {
	return s == "-" || strings.ContainsAny(s, "0123456789") || s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_-.") == ""
}

// dashToEmpty replaces the NILVALUE "-" by the empty string.
func dashToEmpty(s string) string {
	if s == "-" {
		return ""
	}
	return s
}

// cutStructuredData parses STRUCTURED-DATA (RFC 5424, section 6.3) into fields
// named "sd.<id>.<name>" and returns the message after it.
func cutStructuredData(s string) (params []param, message string, ok bool) {
	if rest, ok := strings.CutPrefix(s, "-"); ok {
		return nil, strings.TrimPrefix(rest, " "), rest == "" || rest[0] == ' '
	}
	if rest, ok := strings.CutPrefix(s, "[]"); ok {
		return nil, strings.TrimPrefix(rest, " "), true
	}
	found := false
	for strings.HasPrefix(s, "[") {
		rest, ok := cutElement(s[1:], &params)
		if !ok {
			break
		}
		s, found = rest, true
	}
	if !found || s != "" && s[0] != ' ' {
		return nil, "", false
	}
	return params, strings.TrimPrefix(s, " "), true
}

// cutElement parses one element after its "[" and returns what follows its "]". Values without quotes end at a blank.
func cutElement(s string, params *[]param) (rest string, ok bool) {
	end := strings.IndexAny(s, " ]")
	if end < 1 {
		return "", false
	}
	id, s := s[:end], s[end:]
	for {
		s = strings.TrimLeft(s, " ")
		if rest, ok := strings.CutPrefix(s, "]"); ok {
			return rest, true
		}
		name, value, ok := strings.Cut(s, "=")
		if !ok || name == "" || strings.ContainsAny(name, ` ]"`) {
			return "", false
		}
		if value, s, ok = cutParamValue(value); !ok {
			return "", false
		}
		if len(*params) < maxParams {
			*params = append(*params, param{"sd." + id + "." + name, value})
		}
	}
}

// cutParamValue parses a value in quotes, or one without up to a blank or a bracket. A backslash escapes a quote, a
// backslash and a bracket only; before other characters it is kept.
func cutParamValue(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, " ]")
		return s[:max(end, 0)], s[max(end, 0):], end >= 0
	}
	s = s[1:]
	if end := strings.IndexAny(s, `"\`); end >= 0 && s[end] == '"' {
		return s[:end], s[end+1:], true
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), s[i+1:], true
		case c == '\\' && i+1 < len(s) && strings.IndexByte(`"\]`, s[i+1]) >= 0:
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}
