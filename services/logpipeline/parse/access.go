package parse

import (
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/sigma"
)

const accessTime = "02/Jan/2006:15:04:05 -0700"

// parseAccess parses the common and combined log formats of Apache and nginx:
//
//	[vhost ]client ident user [time] "METHOD URI PROTOCOL" status bytes[ "referer" "agent"]
//
// Servers escape quotes inside of fields, so
// the first `] "` ends the time, no matter what user name the client sent.
func parseAccess(ev *Event, line string) bool {
	head, rest, ok := strings.Cut(line, `] "`)
	open := strings.LastIndex(head, " [")
	if !ok || open < 0 {
		return false
	}
	at, err := time.Parse(accessTime, head[open+2:])
	if err != nil {
		return false
	}
	request, rest, ok := cutQuoted(rest)
	if !ok || !parseAccessClient(ev, head[:open]) {
		return false
	}
	ev.Time = at
	ev.Logsource = sigma.Logsource{Category: "webserver"}
	parseAccessRequest(ev, request)
	parseAccessTail(ev, rest)
	return true
}

// parseAccessClient parses "[vhost ]client ident user". The user may contain
// blanks.
func parseAccessClient(ev *Event, s string) bool {
	first, rest, ok := strings.Cut(s, " ")
	if !ok {
		return false
	}
	second, _, _ := strings.Cut(rest, " ")
	_, isIP := parseAddress(first)
	if _, vhost := parseAddress(second); vhost && !isIP {
		ev.set("cs-host", first)
		first, rest, _ = strings.Cut(rest, " ")
	}
	_, user, ok := strings.Cut(rest, " ")
	if !ok {
		return false
	}
	ev.set("c-ip", first)
	if ip, ok := parseAddress(first); ok {
		ev.SourceIP = ip
		ev.set("c-ip", ip.String())
	}
	if user != "-" {
		ev.User = user
		ev.set("cs-username", unescape(user))
	}
	return true
}

// parseAccessRequest parses "METHOD URI PROTOCOL". A request that is not HTTP, as
// scanners send, becomes the URI.
func parseAccessRequest(ev *Event, request string) {
	request = unescape(request)
	uri := request
	if method, rest, ok := strings.Cut(request, " "); ok && isMethod(method) {
		ev.set("cs-method", method)
		uri = rest
		if i := strings.LastIndex(rest, " HTTP/"); i >= 0 {
			ev.set("cs-version", rest[i+1:])
			uri = rest[:i]
		}
	}
	if uri == "-" {
		return
	}
	stem, query, _ := strings.Cut(uri, "?")
	decoded := decodePercent(stem)
	if query != "" {
		decoded += "?" + decodePercent(strings.ReplaceAll(query, "+", " "))
	}
	ev.set("cs-uri", uri)
	ev.set("cs-uri-stem", stem)
	ev.set("cs-uri-query", query)
	ev.set("cs-uri-decoded", strings.ToValidUTF8(decoded, "\uFFFD"))
}

func isMethod(s string) bool {
	return s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// parseAccessTail parses `status bytes[ "referer" "agent"]`.
func parseAccessTail(ev *Event, s string) {
	status, rest, _ := strings.Cut(strings.TrimPrefix(s, " "), " ")
	size, rest, _ := strings.Cut(rest, " ")
	for name, value := range map[string]string{"sc-status": status, "sc-bytes": size} {
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			ev.setInt(name, n)
		}
	}
	referer, rest, ok := cutQuoted(strings.TrimPrefix(rest, `"`))
	if !ok {
		return
	}
	agent, _, ok := cutQuoted(strings.TrimPrefix(strings.TrimPrefix(rest, " "), `"`))
	ev.set("cs-referer", dashToEmpty(unescape(referer)))
	if !ok {
		return
	}
	agent = dashToEmpty(unescape(agent))
	ev.set("c-useragent", agent)
	ev.set("cs-user-agent", agent)
}

// cutQuoted splits s at the next quote that is not escaped.
func cutQuoted(s string) (inside, rest string, ok bool) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return s[:i], s[i+1:], true
		}
	}
	return "", "", false
}

// unescape decodes \xHH, \", \\, \n, \r and \t, as nginx and Apache write them.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		if c, ok := hexByte(s[i+1:]); s[i] == 'x' && ok {
			b.WriteByte(c)
			i += 2
			continue
		}
		switch s[i] {
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case '"', '\\':
			b.WriteByte(s[i])
		default:
			b.WriteByte('\\')
			b.WriteRune(rune(s[i]))
		}
	}
	return strings.ToValidUTF8(b.String(), "\uFFFD")
}

// decodePercent decodes %HH once; an invalid escape is kept.
func decodePercent(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c, ok := hexByte(s[i+1:]); s[i] == '%' && ok {
			b.WriteByte(c)
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func hexByte(s string) (byte, bool) {
	if len(s) < 2 {
		return 0, false
	}
	n, err := strconv.ParseUint(s[:2], 16, 8)
	return byte(n), err == nil
}
