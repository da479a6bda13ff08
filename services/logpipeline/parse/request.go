package parse

import (
	"strconv"
	"strings"
)

// setRequest sets the fields of "METHOD URI PROTOCOL". A request that is not HTTP, as scanners send, becomes the URI.
func (e *Event) setRequest(request string) {
	uri := request
	if method, rest, ok := strings.Cut(request, " "); ok && isMethod(method) {
		e.set("cs-method", method)
		uri = rest
		if i := strings.LastIndex(rest, " HTTP/"); i >= 0 {
			e.set("cs-version", rest[i+1:])
			uri = rest[:i]
		}
	}
	e.setURI(uri)
}

// setURI sets the fields of a URI as the client sent it. The stem of one with scheme and host, which a proxy and HTTP/2 have, begins after
// them.
func (e *Event) setURI(uri string) {
	if uri == "-" || uri == "<BADREQ>" {
		return
	}
	path := uri
	if host, rest, ok := cutOrigin(uri); ok {
		e.setIfNew("cs-host", host)
		path = rest
	}
	stem, query, _ := strings.Cut(path, "?")
	decoded := decodePercent(stem)
	if query != "" {
		decoded += "?" + decodePercent(strings.ReplaceAll(query, "+", " "))
	}
	e.set("cs-uri", uri)
	e.set("cs-uri-stem", stem)
	e.set("cs-uri-query", query)
	e.set("cs-uri-decoded", strings.ToValidUTF8(decoded, "\uFFFD"))
}

// cutOrigin splits "scheme://host/path".
func cutOrigin(uri string) (host, path string, ok bool) {
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok || scheme == "" || strings.Trim(scheme, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+") != "" {
		return "", "", false
	}
	if end := strings.IndexAny(rest, "/?"); end >= 0 {
		return rest[:end], rest[end:], true
	}
	return rest, "/", true
}

func isMethod(s string) bool {
	return s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_") == "" && s != "-"
}

// setAgent sets both names that rules have for the user agent.
func (e *Event) setAgent(agent string) {
	e.set("c-useragent", dashToEmpty(agent))
	e.set("cs-user-agent", dashToEmpty(agent))
}

func (e *Event) setWebUser(name string) {
	if name = dashToEmpty(name); name != "" {
		e.User = name
		e.set("cs-username", name)
	}
}

// setNumber sets a field if value is a number.
func (e *Event) setNumber(name, value string) {
	if n, err := strconv.ParseInt(value, 10, 64); err == nil {
		e.setInt(name, n)
	}
}

// setIfNew sets a field unless it is set already, or value is empty.
func (e *Event) setIfNew(name, value string) {
	if !e.has(name) {
		e.set(name, value)
	}
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
