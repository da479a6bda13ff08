package parse

import (
	"cmp"
	"html"
	"strconv"
	"strings"

	"github.com/ironpost/ironpost/sigma"
)

// Sysmon is an event of Sysmon for Linux (github.com/microsoft/SysmonForLinux), which writes XML to syslog.
const Sysmon Format = "sysmon"

// sysmonCategories are the categories of Sigma by the event IDs of Sysmon.
var sysmonCategories = map[string]string{
	"1": "process_creation", "3": "network_connection", "4": "sysmon_status", "5": "process_termination", "9": "raw_access_thread",
	"10": "process_access", "11": "file_event", "16": "sysmon_status", "23": "file_delete", "255": "sysmon_error",
}

const (
	// maxSysmonFields bounds the fields of one event, which has at most 23, maxSysmonName their names in bytes.
	maxSysmonFields = 64
	maxSysmonName   = 64
	sysmonStart     = "<Event><System><Provider Name=\"Linux-Sysmon\""
)

// parseSysmonLine parses an event without a header. Any program may have one in its message.
func parseSysmonLine(ev *Event, text string) bool {
	if ev.Logsource != (sigma.Logsource{}) || !strings.HasPrefix(text, sysmonStart) {
		return false
	}
	parseSysmon(ev)
	return true
}

// parseSysmon parses the message of sysmon, one element without line breaks:
//
//	<Event><System><Provider Name="Linux-Sysmon" …/><EventID>1</EventID>…</System><EventData><Data Name="Image">/bin/ls</Data>…</EventData></Event>
//
// Sysmon escapes what a program may have in a value, so every "<" is its own. An event that a syslog daemon cut keeps the fields before
// the cut; the one that it was cut in counts as one, too.
func parseSysmon(ev *Event) {
	text := ev.Message
	if !strings.HasPrefix(text, sysmonStart) {
		return
	}
	head, data, _ := strings.Cut(text, "<EventData>")
	id := elementOf(head, "<EventID>")
	ev.Logsource = sigma.Logsource{Category: sysmonCategories[id], Product: "linux", Service: "sysmon"}
	ev.layer = Sysmon
	if n, err := strconv.ParseInt(id, 10, 32); err == nil {
		ev.setInt("EventID", n)
	}
	ev.set("Computer", elementOf(head, "<Computer>"))
	ev.Host = cmp.Or(ev.Host, ev.text("Computer"))
	if t, rest, ok := ev.settings.cutTimestamp(elementOf(head, `<TimeCreated SystemTime="`)); ok && rest == "" && ev.Time.IsZero() {
		ev.Time = t.at
	}
	if !strings.HasSuffix(text, "</Event>") {
		ev.set("xml_oddity", oddIncomplete)
	}
	setSysmonFields(ev, data)
	setSysmonActor(ev)
}

// elementOf returns the text behind the first start in text, up to the end of the element or attribute.
func elementOf(text, start string) string {
	_, rest, _ := strings.Cut(text, start)
	if end := strings.IndexAny(rest, `<"`); end >= 0 {
		rest = rest[:end]
	}
	return html.UnescapeString(rest)
}

// setSysmonFields sets the fields in data by their names. "-" is none. Of those of the same name the first is used.
func setSysmonFields(ev *Event, data string) {
	for range maxSysmonFields {
		name, rest, ok := cutSysmonName(data)
		if !ok {
			return
		}
		value, rest, _ := strings.Cut(rest, "<")
		data = rest
		switch {
		case !isSysmonName(name), value == "-":
		case ev.has(name):
			ev.set("xml_oddity", oddDuplicate)
		default:
			ev.set(name, html.UnescapeString(value))
		}
	}
}

// cutSysmonName cuts up to the end of the next start tag of a field, and returns its name.
func cutSysmonName(data string) (name, rest string, ok bool) {
	_, rest, ok = strings.Cut(data, `<Data Name="`)
	if !ok {
		return "", "", false
	}
	name, rest, _ = strings.Cut(rest, `"`)
	tag, rest, ok := strings.Cut(rest, ">")
	if strings.HasSuffix(tag, "/") {
		rest = "-<" + rest
	}
	return name, rest, ok
}

// isSysmonName reports whether name can be that of a field of Sysmon: those of our own begin with a small letter.
func isSysmonName(name string) bool {
	if name == "" || len(name) > maxSysmonName || name[0] < 'A' || name[0] > 'Z' {
		return false
	}
	for _, c := range []byte(name) {
		if c|0x20 < 'a' && (c < '0' || c > '9') || c|0x20 > 'z' {
			return false
		}
	}
	return true
}

// setSysmonActor sets who did it, and the other end of a connection that somebody else began.
func setSysmonActor(ev *Event) {
	if user := ev.text("User"); user != "" {
		ev.setUser(user)
	}
	for _, name := range [...]string{"SourcePort", "DestinationPort"} {
		if n, err := strconv.ParseUint(ev.text(name), 10, 16); err == nil {
			ev.setInt(name, int64(n))
		}
	}
	if peer := ev.text("SourceIp"); peer != "" && ev.text("Initiated") == "false" {
		ev.setSource(peer)
		if n, err := strconv.ParseUint(ev.text("SourcePort"), 10, 16); err == nil {
			ev.setPort(uint16(n))
		}
	}
	ev.Message = cmp.Or(ev.text("CommandLine"), ev.Message)
}
