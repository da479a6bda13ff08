package audit

import (
	"encoding/hex"
	"strings"
)

// parseFields parses the fields of a record of type typeName, at most maxFields. What has no name is left out: the words of an AVC record.
func parseFields(typeName, text string) []Field {
	own, interpreted, _ := strings.Cut(text, string(enriched))
	fields := make([]Field, 0, min(maxFields, strings.Count(text, "=")))
	fields = appendFields(fields, typeName, own, false)
	return appendInterpreted(fields, interpreted)
}

// appendFields appends the fields in text. The text of a user space record is a field itself, msg='…', and its fields are taken as if they
// were the record's; inside reports that text is of such a field.
func appendFields(fields []Field, typeName, text string, inside bool) []Field {
	for len(fields) < maxFields {
		name, rest := nextName(text)
		if name == "" {
			break
		}
		if inner, after, ok := cutMessage(name, rest); ok && !inside {
			fields, text = appendFields(fields, typeName, inner, true), after
			continue
		}
		value, after := cutValue(name, rest)
		fields, text = append(fields, Field{name, decode(typeName, name, value)}), after
	}
	return fields
}

// nextName returns the next name before an equals sign, and what follows that; "" if there is none.
func nextName(text string) (name, rest string) {
	before, rest, ok := strings.Cut(text, "=")
	if !ok {
		return "", ""
	}
	return before[strings.LastIndexAny(before, " ,{")+1:], rest
}

// cutMessage returns the text in msg='…' and what follows it. The last quotation mark ends it: a message may have others in it.
func cutMessage(name, rest string) (inner, after string, ok bool) {
	if name != "msg" || !strings.HasPrefix(rest, "'") {
		return "", "", false
	}
	inner = rest[1:]
	if end := strings.LastIndexByte(inner, '\''); end >= 0 {
		return inner[:end], inner[end+1:], true
	}
	return inner, "", true
}

// cutValue returns the value at the start of s as it is written, and what follows it.
func cutValue(name, s string) (value, rest string) {
	if strings.HasPrefix(s, `"`) {
		if end := strings.IndexByte(s[1:], '"'); end >= 0 {
			return s[:end+2], s[end+2:]
		}
	}
	if name == "SADDR" && strings.HasPrefix(s, "{") {
		if end := strings.IndexByte(s, '}'); end >= 0 {
			return s[:end+1], s[end+1:]
		}
	}
	end := strings.IndexByte(s, ' ')
	if end < 0 {
		return s, ""
	}
	return s[:end], s[end+1:]
}

// appendInterpreted appends the interpreted fields. Only names in capitals are taken, which the kernel gives to none.
func appendInterpreted(fields []Field, text string) []Field {
	for len(fields) < maxFields {
		name, rest := nextName(text)
		if name == "" {
			return fields
		}
		var value string
		if value, text = cutValue(name, rest); name == strings.ToUpper(name) {
			fields = append(fields, Field{name, unquote(value)})
		}
	}
	return fields
}

// encodedFields are the fields that the kernel or libaudit writes in quotation marks or in hexadecimal (auparse, typetab.h). In an EXECVE
// record the arguments are, too.
var encodedFields = map[string]bool{
	"acct": true, "cmd": true, "comm": true, "cwd": true, "data": true, "device": true, "dir": true, "exe": true, "file": true, "grp": true,
	"img-ctx": true, "key": true, "name": true, "new-chardev": true, "new-disk": true, "new-fs": true, "new-rng": true, "new_group": true,
	"ocomm": true, "old-chardev": true, "old-disk": true, "old-fs": true, "old-rng": true, "path": true, "proctitle": true,
	"sw": true, "vm": true, "vm-ctx": true, "watch": true, "invalid_context": true,
}

// decode returns the value of a field as text. A quoted one is never hexadecimal: the kernel quotes text without blanks, quotation marks
// and control characters, and writes all other text in hexadecimal.
func decode(typeName, name, value string) string {
	if strings.HasPrefix(value, `"`) {
		return unquote(value)
	}
	if !encodedFields[name] && (typeName != "EXECVE" || !isArgument(name)) {
		return value
	}
	text, ok := fromHex(value)
	if !ok {
		return value
	}
	if name == "proctitle" {
		return strings.TrimRight(strings.ReplaceAll(text, "\x00", " "), " ")
	}
	return text
}

// fromHex decodes hexadecimal. The result is valid UTF-8.
func fromHex(s string) (string, bool) {
	text, err := hex.DecodeString(s)
	if err != nil || s == "" {
		return "", false
	}
	return strings.ToValidUTF8(string(text), "\uFFFD"), true
}

func unquote(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	return s
}
