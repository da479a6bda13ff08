package parse

import (
	"iter"
	"strings"
)

// maxTags bounds the tags of one message, and the length of a name.
const maxTags = 32

// modSecurityNames are the fields of the data that ModSecurity adds in brackets.
var modSecurityNames = map[string]string{
	"id": "rule_id", "msg": "rule_message", "severity": "rule_severity", "data": "rule_data", "hostname": "dst_host", "unique_id": "unique_id",
}

// parseModSecurity parses the messages of ModSecurity 2 and 3 in the error log of a web server:
//
//	ModSecurity: Access denied with code 403 (phase 2). … [id "942100"] [msg "SQL Injection"] [data "…"] [severity "2"] [tag "a"] [uri "/"]
//
// It escapes quotes inside of the data. What the client sent stands in data and behind it, so the first of a name counts.
func parseModSecurity(ev *Event, message string) {
	text, ok := strings.CutPrefix(message, "ModSecurity: ")
	if !ok {
		return
	}
	ev.set("engine", "modsecurity")
	if strings.HasPrefix(text, "Access denied") {
		ev.setAction("blocked")
	}
	var tags []string
	for name, value := range brackets(text) {
		switch field := modSecurityNames[name]; {
		case name == "tag" && len(tags) < maxTags:
			tags = append(tags, value)
		case name == "uri" && !ev.has("cs-uri"):
			ev.setURI(value)
		case field != "":
			ev.setIfNew(field, value)
		}
	}
	if len(tags) > 0 {
		ev.setList("tags", tags)
	}
}

// brackets returns the pairs that are written as ` [name "value"]`.
func brackets(text string) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for {
			_, rest, ok := strings.Cut(text, " [")
			if !ok {
				return
			}
			text = rest
			name, _, ok := strings.Cut(text[:min(len(text), maxTags)], ` "`)
			if !ok || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" {
				continue
			}
			value, rest, ok := cutQuoted(text[len(name)+2:])
			if !ok || !yield(name, unescape(value)) {
				return
			}
			text = rest
		}
	}
}
