package parse

import (
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/sigma"
)

const accessClock = "02/Jan/2006:15:04:05 -0700"

// access reads a line in the common or combined log format of Apache and nginx,
// with or without a virtual host in front; any other line leaves ev as it was.
// Servers escape quotes inside their fields, so the first `] "` ends the clock
// whatever the user called himself.
func access(ev *Event, line string) {
	head, rest, ok := strings.Cut(line, `] "`)
	open := strings.LastIndex(head, " [")
	if !ok || open < 0 {
		return
	}
	at, err := time.Parse(accessClock, head[open+2:])
	if err != nil {
		return
	}
	request, rest, ok := cutQuoted(rest)
	if !ok || !accessClient(ev, head[:open]) {
		return
	}
	if ev.Format == Plain {
		ev.Format = Access
	}
	ev.Time = at
	ev.Logsource = sigma.Logsource{Category: "webserver"}
	accessRequest(ev, request)
	accessTail(ev, rest)
}

// accessClient reads "[vhost ]client ident user". The user may hold blanks.
func accessClient(ev *Event, s string) bool {
	first, rest, ok := strings.Cut(s, " ")
	if !ok {
		return false
	}
	second, _, _ := strings.Cut(rest, " ")
	_, isIP := address(first)
	if _, vhost := address(second); vhost && !isIP {
		ev.set("cs-host", first)
		first, rest, _ = strings.Cut(rest, " ")
	}
	_, user, ok := strings.Cut(rest, " ")
	if !ok {
		return false
	}
	ev.set("c-ip", first)
	if ip, ok := address(first); ok {
		ev.SourceIP = ip
		ev.Fields["c-ip"] = ip.String()
	}
	if user != "-" {
		ev.User = user
		ev.set("cs-username", unescape(user))
	}
	return true
}

// accessRequest splits "METHOD URI PROTOCOL". What a scanner sends instead of
// HTTP is kept as the URI.
func accessRequest(ev *Event, request string) {
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
	ev.set("cs-uri", uri)
	ev.set("cs-uri-stem", stem)
	ev.set("cs-uri-query", query)
	ev.set("cs-uri-decoded", decoded(stem, query))
}

func isMethod(s string) bool {
	for i := range len(s) {
		if s[i] < 'A' || s[i] > 'Z' {
			return false
		}
	}
	return s != ""
}

// accessTail reads `status bytes[ "referer" "agent"]`.
func accessTail(ev *Event, s string) {
	status, rest, _ := strings.Cut(strings.TrimPrefix(s, " "), " ")
	size, rest, _ := strings.Cut(rest, " ")
	for name, value := range map[string]string{"sc-status": status, "sc-bytes": size} {
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			ev.Fields[name] = n
		}
	}
	referer, rest, ok := cutQuoted(strings.TrimPrefix(rest, `"`))
	if !ok {
		return
	}
	agent, _, ok := cutQuoted(strings.TrimPrefix(strings.TrimPrefix(rest, " "), `"`))
	ev.set("cs-referer", nilled(unescape(referer)))
	if !ok {
		return
	}
	agent = nilled(unescape(agent))
	ev.set("c-useragent", agent)
	ev.set("cs-user-agent", agent)
}

// cutQuoted returns what stands before the next quote that no backslash escapes.
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

// unescape undoes \xHH, \" and \\ of nginx and Apache.
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
		b.WriteString(escaped(s[i]))
	}
	return strings.ToValidUTF8(b.String(), "\uFFFD")
}

func escaped(c byte) string {
	switch c {
	case 'n':
		return "\n"
	case 'r':
		return "\r"
	case 't':
		return "\t"
	case '"', '\\':
		return string(c)
	}
	return `\` + string(rune(c))
}

// decoded undoes percent encoding once, and in the query "+" for a blank. What is
// no valid escape stays.
func decoded(stem, query string) string {
	out := percentDecoded(stem)
	if query != "" {
		out += "?" + percentDecoded(strings.ReplaceAll(query, "+", " "))
	}
	return strings.ToValidUTF8(out, "\uFFFD")
}

func percentDecoded(s string) string {
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
