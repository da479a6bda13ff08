package parse

import (
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/sigma"
)

// maxParams is how many structured-data parameters of one line are kept.
const maxParams = 128

// parseRFC5424 parses what follows "<PRI>1 " and reports whether it is RFC 5424;
// if not, ev is unchanged.
func parseRFC5424(ev *Event, s string) bool {
	var head [5]string // TIMESTAMP HOSTNAME APP-NAME PROCID MSGID
	for i := range head {
		var ok bool
		if head[i], s, ok = strings.Cut(s, " "); !ok || head[i] == "" {
			return false
		}
	}
	var at time.Time
	if head[0] != "-" { // the NILVALUE
		var err error
		if at, err = time.Parse(time.RFC3339, head[0]); err != nil {
			return false
		}
	}
	params, msg, ok := cutStructuredData(s)
	if !ok {
		return false
	}
	ev.Format, ev.Time = RFC5424, at
	ev.Host, ev.Process, ev.Message = dashToEmpty(head[1]), programOf(dashToEmpty(head[2])), strings.TrimPrefix(msg, "\ufeff")
	ev.PID, _ = strconv.ParseInt(head[3], 10, 64)
	ev.set("msgid", dashToEmpty(head[4]))
	for _, p := range params {
		ev.Fields.Set(p.name, sigma.Text(p.value))
	}
	return true
}

// dashToEmpty replaces the NILVALUE "-" by the empty string.
func dashToEmpty(s string) string {
	if s == "-" {
		return ""
	}
	return s
}

// param is a parameter of structured data.
type param struct{ name, value string }

// cutStructuredData parses STRUCTURED-DATA (RFC 5424, section 6.3) into fields
// named "sd.<id>.<name>" and returns the message after it.
func cutStructuredData(s string) ([]param, string, bool) {
	if rest, ok := strings.CutPrefix(s, "-"); ok {
		return nil, strings.TrimPrefix(rest, " "), rest == "" || rest[0] == ' '
	}
	var params []param
	found := false
	for strings.HasPrefix(s, "[") {
		rest, ok := cutElement(s[1:], &params)
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

// cutElement parses one element after its "[" and returns what follows its "]".
func cutElement(s string, params *[]param) (string, bool) {
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
		value, rest, ok := cutParamValue(quoted[1:])
		if !ok {
			return "", false
		}
		if len(*params) < maxParams {
			*params = append(*params, param{"sd." + id + "." + name, value})
		}
		s = rest
	}
}

// cutParamValue parses up to the closing quote. A backslash escapes a quote, a
// backslash and a bracket only; before other characters it is kept.
func cutParamValue(s string) (value, rest string, ok bool) {
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
