package parse

import (
	"strings"
	"time"

	"github.com/ironpost/ironpost/sigma"
)

// parseCEF parses the Common Event Format of ArcSight ("Implementing ArcSight CEF", revision 25):
//
//	CEF:0|Vendor|Product|Version|Class|Name|Severity|src=192.0.2.7 msg=a text with blanks act=blocked
//
// In the header a backslash escapes |, in the extension =. A value ends before the last blank before the next key.
func parseCEF(ev *Event, text string) bool {
	rest, ok := strings.CutPrefix(text, "CEF:")
	if !ok {
		return false
	}
	header, extension, ok := cutHeaderFields(rest, 7)
	if !ok {
		return false
	}
	ev.Logsource = sigma.Logsource{Category: "application"}
	ev.set("device_vendor", header[1])
	ev.set("device_product", header[2])
	ev.set("device_version", header[3])
	ev.set("event_class_id", header[4])
	ev.set("name", header[5])
	ev.set("event_severity", header[6])
	pairs := cutExtension(extension)
	ev.Message = header[5]
	if msg, _ := valueOf(pairs, "msg"); msg != "" {
		ev.Message = msg
	}
	ev.setEndpoints(pairs, []string{"src", "sourceAddress", "c6a2"}, []string{"spt", "sourcePort"}, []string{"dst", "destinationAddress", "c6a3"}, []string{"dpt"})
	ev.setEventFields(pairs)
	ev.setPairs(pairs)
	ev.setLabels(pairs)
	return true
}

// eventKeys are the keys of CEF and LEEF that have a name of their own in rules.
var eventKeys = []struct {
	field string
	keys  []string
}{
	{"action", []string{"act", "action"}},
	{"protocol", []string{"proto", "transportProtocol"}},
	{"cs-method", []string{"requestMethod", "method"}},
	{"cs-referer", []string{"requestContext", "referer"}},
	{"cs-cookie", []string{"requestCookies"}},
	{"cs-host", []string{"destinationHostName"}},
	{"src_host", []string{"shost", "srcHostName"}},
	{"dst_host", []string{"dhost", "dstHostName"}},
	{"target_user", []string{"duser"}},
}

// setEventFields sets the fields of eventKeys, and what attributes of the event the pairs have.
func (e *Event) setEventFields(pairs []pair) {
	for _, k := range eventKeys {
		if value, agreed := valueOf(pairs, k.keys...); agreed {
			e.set(k.field, value)
		}
	}
	if value := e.text("protocol"); value != "" {
		e.set("protocol", strings.ToLower(value))
	}
	if user, agreed := valueOf(pairs, "suser", "usrName", "duser"); agreed {
		e.setUser(user)
	}
	if agent, _ := valueOf(pairs, "requestClientApplication", "userAgent"); agent != "" {
		e.setAgent(agent)
	}
	if uri, _ := valueOf(pairs, "request", "url"); uri != "" {
		e.setURI(uri)
		e.Logsource.Category = "webserver"
	} else if e.has("dst_ip") && (e.has("src_ip") || e.has("src_host")) {
		e.Logsource.Category = "firewall"
	}
	if host, _ := valueOf(pairs, "dvchost", "dvc"); e.Host == "" {
		e.Host = host
	}
	if at, _ := valueOf(pairs, "rt", "devTime", "end", "start"); at != "" {
		e.setEventTime(at)
	}
}

// setEventTime reads milliseconds since 1970, or "Nov 29 2026 20:00:00" with a fraction and a zone.
func (e *Event) setEventTime(text string) {
	if at := since1970Text(text); !at.IsZero() {
		e.Time = at
		return
	}
	for _, layout := range [...]string{"Jan _2 2006 15:04:05 MST", "Jan _2 2006 15:04:05", time.RFC3339, "Jan _2 2006 15:04:05 -0700"} {
		if at, err := time.ParseInLocation(layout, text, e.settings.zone); err == nil {
			e.Time = at
			return
		}
	}
}

// setLabels sets the custom values by the names that the device gives them: cs1Label=Policy cs1=x is the field Policy.
func (e *Event) setLabels(pairs []pair) {
	for _, p := range pairs {
		key, ok := strings.CutSuffix(p.key, "Label")
		if !ok || p.value == "" || len(p.value) > maxKey || !isLabel(p.value) {
			continue
		}
		if value, agreed := valueOf(pairs, key); agreed {
			e.setIfNew(p.value, value)
		}
	}
}

// isLabel reports whether a device may name a field so: not as one that decides what the event is about.
func isLabel(name string) bool {
	switch name {
	case "raw", "message", "host", "process", "pid", "user", "src_ip", "src_port", "action":
		return false
	}
	return true
}

// cutHeaderFields splits the n fields before a pipe each; a backslash escapes a pipe.
func cutHeaderFields(s string, n int) (fields []string, rest string, ok bool) {
	for range n {
		end := 0
		for end < len(s) && s[end] != '|' {
			if s[end] == '\\' {
				end++
			}
			end++
		}
		if end >= len(s) {
			return nil, "", false
		}
		fields, s = append(fields, strings.NewReplacer(`\|`, `|`, `\\`, `\`).Replace(s[:end])), s[end+1:]
	}
	return fields, s, true
}

// cutExtension splits "key=value with blanks key=value".
func cutExtension(s string) (pairs []pair) {
	key, start := "", 0
	for i := 0; i < len(s) && len(pairs) < maxPairs; i++ {
		if s[i] == '\\' {
			i++
			continue
		}
		if s[i] != '=' {
			continue
		}
		begin := strings.LastIndexByte(s[max(start, i-maxKey-1):i], ' ') + 1 + max(start, i-maxKey-1)
		if !isExtensionKey(s[begin:i]) || begin > start && s[begin-1] != ' ' || key != "" && begin == start {
			continue
		}
		if key != "" {
			pairs = append(pairs, pair{key: key, value: unescapeExtension(s[start:begin])})
		}
		key, start = s[begin:i], i+1
	}
	if key != "" && len(pairs) < maxPairs {
		pairs = append(pairs, pair{key: key, value: unescapeExtension(s[start:])})
	}
	return pairs
}

// isExtensionKey is isKey with the brackets of an index, as in "ad.list[0]".
func isExtensionKey(s string) bool {
	named := false
	for i := range len(s) {
		if s[i] == '[' || s[i] == ']' {
			continue
		}
		if !isKeyByte(s[i]) {
			return false
		}
		named = true
	}
	return named
}

func unescapeExtension(s string) string {
	s = strings.Trim(s, " ")
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\=`, `=`, `\\`, `\`, `\n`, "\n", `\r`, "\r", `\|`, `|`).Replace(s)
}
