package parse

import (
	"strings"

	"github.com/ironpost/ironpost/sigma"
)

// webNames are the names that members have in the JSON access logs of nginx, Apache, Caddy, Traefik, HAProxy, Envoy and the Elastic Common
// Schema, the more exact ones first. A name with blanks is the path to a nested member.
var webNames = struct {
	request, target, method, uri, query, protocol, status, bytes, agent, referer, host, user, cookie, time []string
	peer, peerPort, forwarded                                                                              []string
}{
	request:   []string{"request", "request_line", "requestLine", "http_request"},
	method:    []string{"request_method", "RequestMethod", "request method", "http request method", "method", "http_method", "requestMethod", "httpRequest requestMethod", "verb"},
	target:    []string{"request_uri", "RequestPath", "request uri", "url original"}, // as it was sent, with the query
	uri:       []string{"uri", "url", "path", "http_uri", "request_path", "http_path", "requestUri", "httpRequest requestUrl", "url path", "request path", "request"},
	query:     []string{"args", "query_string", "query", "queryString", "url query"},
	protocol:  []string{"server_protocol", "RequestProtocol", "request proto", "protocol", "http_version", "http version"},
	status:    []string{"status", "DownstreamStatus", "response_code", "http response status_code", "status_code", "statusCode", "response status", "response status_code", "httpRequest status", "http_status", "response"},
	bytes:     []string{"body_bytes_sent", "DownstreamContentSize", "bytes_sent", "bytesSent", "size", "bytes", "http response body bytes"},
	agent:     []string{"http_user_agent", "request_User-Agent", "request headers User-Agent", "user_agent original", "user_agent", "userAgent", "agent", "useragent", "User-Agent", "httpRequest userAgent"},
	referer:   []string{"http_referer", "http_referrer", "request_Referer", "request headers Referer", "http request referrer", "referer", "referrer"},
	host:      []string{"http_host", "RequestHost", "request host", "url domain", "authority", "vhost", "host", "server_name"},
	user:      []string{"remote_user", "ClientUsername", "user_id", "remoteUser", "user", "username", "user name"},
	cookie:    []string{"http_cookie", "cookie"},
	time:      []string{"time_iso8601", "time_local", "StartUTC", "start_time", "msec", "time", "timestamp", "@timestamp"},
	peer:      []string{"remote_addr", "ClientHost", "request client_ip", "request remote_ip", "request remote_addr", "remote_ip", "remoteIP", "remoteAddr", "remote_address", "downstream_remote_address", "source ip", "client ip", "client_ip", "clientip", "client_addr", "c-ip", "client"},
	peerPort:  []string{"remote_port", "ClientPort", "request remote_port", "client_port", "client port", "source port"},
	forwarded: []string{"http_x_forwarded_for", "request_X-Forwarded-For", "request headers X-Forwarded-For", "x_forwarded_for", "xff", "forwarded_for", "client_ip"},
}

// parseWebJSON parses the record of a request. The server wrote the names of its members, the client only the values.
func parseWebJSON(ev *Event) bool {
	n := &webNames
	request, target, uri := ev.member(n.request), ev.member(n.target), ev.member(n.uri)
	method := ev.member(n.method)
	isLine := isRequestLine(request)
	if !isLine && (!isMethod(method) || !isURI(target) && !isURI(uri)) {
		return false
	}
	if ev.member(n.status) == "" && ev.member(n.peer) == "" {
		return false
	}
	ev.Logsource = sigma.Logsource{Category: "webserver"}
	switch {
	case isURI(target):
		ev.setURI(target)
	case isLine:
		ev.setRequest(request)
	default:
		ev.setURI(withQuery(uri, ev.member(n.query)))
	}
	ev.setIfNew("cs-method", method)
	ev.setIfNew("cs-version", ev.member(n.protocol))
	setWebMembers(ev)
	return true
}

// setWebMembers sets the fields that are members as they are.
func setWebMembers(ev *Event) {
	n := &webNames
	ev.setNumber("sc-status", ev.member(n.status))
	ev.setNumber("sc-bytes", ev.member(n.bytes))
	ev.setAgent(ev.member(n.agent))
	ev.set("cs-referer", dashToEmpty(ev.member(n.referer)))
	ev.set("cs-cookie", dashToEmpty(ev.member(n.cookie)))
	ev.setIfNew("cs-host", dashToEmpty(ev.member(n.host)))
	ev.User = ""
	ev.setWebUser(ev.member(n.user))
	if at, ok := ev.settings.accessTime(strings.Trim(ev.member(n.time), "[]")); ok {
		ev.Time = at
	}
	setWebClient(ev)
}

// setWebClient sets the client. host of a web server is what the client asked for, not the machine that wrote the line.
func setWebClient(ev *Event) {
	n := &webNames
	if name := ev.text("host"); name != "" {
		ev.Host = ev.outerHost
		ev.drop("host")
	}
	ev.SourceIP, ev.SourcePort = noAddress, 0
	peer := ev.member(n.peer)
	if ev.disagree(n.peer) {
		return
	}
	var lists []string
	if list := dashToEmpty(ev.member(n.forwarded)); list != "" && list != peer {
		lists = append(lists, list)
	}
	ev.setClient(peer, lists...)
	if port, ok := parsePort(ev.member(n.peerPort)); ok && len(lists) == 0 && !ev.isBehindCaddy(peer) {
		ev.setPort(port)
	}
}

// isBehindCaddy reports whether Caddy took the client's address from the request of a proxy that it trusts, so that its port is not known.
func (e *Event) isBehindCaddy(client string) bool {
	peer := e.member([]string{"request remote_ip"})
	return peer != "" && peer != client
}

func isRequestLine(s string) bool {
	method, _, ok := strings.Cut(s, " ")
	return ok && isMethod(method)
}

func isURI(s string) bool {
	return strings.HasPrefix(s, "/") || s == "*" || strings.Contains(s, "://")
}

// withQuery returns uri with query, which some logs have apart.
func withQuery(uri, query string) string {
	query = strings.TrimPrefix(dashToEmpty(query), "?")
	if query == "" || strings.Contains(uri, "?") {
		return uri
	}
	return uri + "?" + query
}

// member returns the first of paths that leads to a text or an integer. Of a list, as HTTP headers are, it takes the first element.
func (e *Event) member(paths []string) string {
	for _, path := range paths {
		name, path, nested := strings.Cut(path, " ")
		field, _ := e.Fields.Get(name)
		value := field.Any()
		for nested {
			object, _ := value.(map[string]any)
			name, path, nested = strings.Cut(path, " ")
			value = object[name]
		}
		if list, ok := value.([]any); ok && len(list) > 0 {
			value = list[0]
		}
		v := sigma.NewValue(value)
		if _, isInt := v.Int64(); (isInt || v.IsText()) && v.String() != "" {
			return v.String()
		}
	}
	return ""
}
