package parse

import (
	"maps"
	"strconv"
	"strings"
	"time"
)

// maxParams caps the structured-data parameters kept of one line.
const maxParams = 128

// rfc5424 reads what follows "<PRI>1 " and reports whether it is RFC 5424; only
// then ev is changed.
func (p *Parser) rfc5424(ev *Event, s string) bool {
	var head [5]string // TIMESTAMP HOSTNAME APP-NAME PROCID MSGID
	for i := range head {
		var ok bool
		if head[i], s, ok = strings.Cut(s, " "); !ok || head[i] == "" {
			return false
		}
	}
	at, ok := stamp5424(head[0])
	if !ok {
		return false
	}
	params, msg, ok := cutStructured(s)
	if !ok {
		return false
	}
	ev.Format, ev.Time = RFC5424, at
	ev.Host, ev.Process, ev.Message = nilled(head[1]), programOf(nilled(head[2])), strings.TrimPrefix(msg, "\ufeff")
	ev.PID, _ = strconv.ParseInt(head[3], 10, 64)
	ev.set("msgid", nilled(head[4]))
	maps.Copy(ev.Fields, params)
	p.program(ev)
	return true
}

// stamp5424 reads a TIMESTAMP; "-" is none, which is allowed.
func stamp5424(s string) (time.Time, bool) {
	if s == "-" {
		return time.Time{}, true
	}
	t, err := time.Parse(time.RFC3339, s)
	return t, err == nil
}

func nilled(s string) string {
	if s == "-" {
		return ""
	}
	return s
}

// cutStructured reads STRUCTURED-DATA (RFC 5424, section 6.3) into
// "sd.<id>.<name>" and returns the message behind it.
func cutStructured(s string) (map[string]any, string, bool) {
	if rest, ok := strings.CutPrefix(s, "-"); ok {
		return nil, strings.TrimPrefix(rest, " "), rest == "" || rest[0] == ' '
	}
	params := map[string]any{}
	found := false
	for strings.HasPrefix(s, "[") {
		rest, ok := element(s[1:], params)
		if !ok {
			return nil, "", false
		}
		s, found = rest, true
	}
	if !found || s != "" && s[0] != ' ' {
		return nil, "", false
	}
	return params, strings.TrimPrefix(s, " "), true
}

// element reads one element behind its "[" and returns what follows its "]".
func element(s string, params map[string]any) (string, bool) {
	end := strings.IndexAny(s, " ]")
	if end < 1 {
		return "", false
	}
	id, s := s[:end], s[end:]
	for {
		if rest, ok := strings.CutPrefix(s, "]"); ok {
			return rest, true
		}
		name, quoted, ok := strings.Cut(strings.TrimLeft(s, " "), "=")
		if !ok || name == "" || !strings.HasPrefix(quoted, `"`) || strings.ContainsAny(name, ` ]"`) {
			return "", false
		}
		value, rest, ok := paramValue(quoted[1:])
		if !ok {
			return "", false
		}
		if len(params) < maxParams {
			params["sd."+id+"."+name] = value
		}
		s = rest
	}
}

// paramValue reads up to the closing quote. Backslash escapes only quote,
// backslash and bracket; before anything else it is itself.
func paramValue(s string) (value, rest string, ok bool) {
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
