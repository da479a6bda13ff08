package parse

import (
	"strings"

	"github.com/ironpost/ironpost/sigma"
)

// parseHAProxy parses the formats of HAProxy (Configuration Manual, section 8.2): httplog, tcplog, httpslog, errors, and the default one.
//
//	client:port [accepted] frontend backend/server timers status bytes … termination connections queues {request headers} "request"
//	client:port [accepted] frontend backend/server timers bytes termination connections queues
//	client:port [accepted] frontend/listener: error
//	Connect from client:port to address:port (frontend/mode)
//
// It writes quotes inside of the request as #22 and braces inside of headers as #7B, so that the first ones are its own.
func parseHAProxy(ev *Event, text string) bool {
	if rest, ok := strings.CutPrefix(text, "Connect from "); ok {
		return parseHAProxyConnect(ev, rest)
	}
	client, rest, ok := strings.Cut(text, " [")
	if !ok || strings.Contains(client, " ") {
		return false
	}
	peer, isHop := parseHop(client)
	if !isHop || peer.port == 0 {
		return false
	}
	accepted, rest, ok := strings.Cut(rest, "] ")
	at, isTime := ev.settings.accessTime(accepted)
	if !ok || !isTime {
		return false
	}
	frontend, rest, ok := strings.Cut(rest, " ")
	if !ok {
		return false
	}
	ev.Time = at
	ev.Logsource = sigma.Logsource{Category: "webserver", Product: "haproxy"}
	ev.set("frontend", strings.TrimRight(frontend, "~:"))
	var lists []string
	if !strings.HasSuffix(frontend, ":") {
		lists = parseHAProxyRequest(ev, rest)
	} else {
		ev.Message = rest
	}
	ev.setPeer(peer, lists...)
	return true
}

// parseHAProxyRequest parses what is behind the frontend, and returns the captured headers that are lists of addresses.
func parseHAProxyRequest(ev *Event, s string) (lists []string) {
	head, rest, isHTTP := strings.Cut(s, `"`)
	words := strings.Fields(head)
	if len(words) < 3 {
		return nil
	}
	backend, server, _ := strings.Cut(words[0], "/")
	ev.set("backend", backend)
	ev.set("server", server)
	if !isHTTP {
		ev.setNumber("sc-bytes", words[2])
		ev.Logsource.Category = ""
		return nil
	}
	ev.setNumber("sc-status", words[2])
	if len(words) > 3 {
		ev.setNumber("sc-bytes", words[3])
	}
	request, _, ok := strings.Cut(rest, `"`)
	if !ok { // cut off at the length that HAProxy sends
		request = rest
	}
	ev.setRequest(decodeHash(request))
	if _, captured, ok := strings.Cut(head, "{"); ok {
		captured, _, _ = strings.Cut(captured, "}")
		for value := range strings.SplitSeq(captured, "|") {
			if isForwarded(value) {
				lists = append(lists, value)
			}
		}
	}
	return lists
}

func parseHAProxyConnect(ev *Event, rest string) bool {
	client, rest, _ := strings.Cut(rest, " to ")
	peer, ok := parseHop(client)
	to, _, _ := strings.Cut(rest, " ")
	target, isTarget := parseHop(to)
	if !ok || !isTarget || peer.port == 0 {
		return false
	}
	ev.Logsource = sigma.Logsource{Product: "haproxy"}
	ev.setPeer(peer)
	ev.set("dst_ip", target.addr.String())
	ev.setInt("dst_port", int64(target.port))
	return true
}

// decodeHash decodes #HH, as HAProxy writes the characters that it escapes, # itself among them.
func decodeHash(s string) string {
	if !strings.Contains(s, "#") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c, ok := hexByte(s[i+1:]); s[i] == '#' && ok {
			b.WriteByte(c)
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return strings.ToValidUTF8(b.String(), "\uFFFD")
}
