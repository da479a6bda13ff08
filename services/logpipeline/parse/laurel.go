package parse

import (
	"fmt"
	"strings"

	"github.com/ironpost/ironpost/services/logpipeline/audit"
)

// Laurel is an audit event that LAUREL (github.com/threathunters-io/laurel) put together as one JSON object: an object of each type of
// record, or a list of them, under its name.
const Laurel Format = "laurel"

// maxLaurel bounds the records of one object.
const maxLaurel = 64

// parseLaurel parses an object of LAUREL: each record is an event for rules of the service auditd, and all of them together are what the
// records of auditd are together.
func parseLaurel(ev *Event) bool {
	serial, at, ok := audit.ParseStamp(ev.text("ID"))
	if !ok || ev.isOfAnother("laurel") {
		return false
	}
	records := laurelRecords(ev)
	if len(records) == 0 {
		return false
	}
	ev.Time, ev.Host = at, ev.text("NODE")
	for i := range records {
		records[i].Serial = serial
	}
	ev.setRecords(records, Laurel)
	ev.More = append(ev.More, auditEvents(newAudited(records), Event{Format: Laurel, Time: at, Host: ev.Host}, ev.Message)...)
	return true
}

// setRecords adds an event for each record of an event that a program put together, as if auditd had written it.
func (e *Event) setRecords(records []audit.Record, format Format) {
	call := newAudited(records).first("SYSCALL")
	for i := range records {
		records[i].Time, records[i].Node = e.Time, e.Host
		if records[i].Type == "PARENT_INFO" {
			continue
		}
		view := Event{Format: format, Time: e.Time, Host: e.Host, Message: e.Message}
		setAuditRecord(&view, records[i])
		view.Audit = nil // it is together with the others already
		if call != nil && records[i].Type != "SYSCALL" {
			view.AddCall(call)
		}
		view.finish(e.Message)
		e.More = append(e.More, view)
	}
}

// isOfAnother reports whether a header says that another program than name wrote the object: any program may have one in its message.
func (e *Event) isOfAnother(name string) bool { return e.Process != "" && e.Process != name }

// laurelRecords returns the records in an object of LAUREL, those of the system call first.
func laurelRecords(ev *Event) []audit.Record {
	var out []audit.Record
	for _, name := range [...]string{"SYSCALL", "EXECVE", "CWD", "PATH", "SOCKADDR", "PROCTITLE", "PARENT_INFO"} {
		value, _ := ev.Fields.Get(name)
		list, isList := value.Any().([]any)
		if !isList {
			list = []any{value.Any()}
		}
		for _, item := range list {
			if members, ok := item.(map[string]any); ok && len(out) < maxLaurel {
				out = append(out, laurelRecord(name, members))
			}
		}
	}
	return out
}

// laurelRecord returns a record by its members. ARGV is its arguments: of a program, or of a system call.
func laurelRecord(name string, members map[string]any) audit.Record {
	r := audit.Record{Type: name}
	for _, member := range sortedNames(members) {
		switch value := members[member].(type) {
		case string:
			r.Fields = append(r.Fields, audit.Field{Name: member, Value: value})
		case int64:
			r.Fields = append(r.Fields, audit.Field{Name: member, Value: fmt.Sprint(value)})
		case []any:
			r.Fields = append(r.Fields, laurelArguments(name, member, value)...)
		}
	}
	return r
}

func laurelArguments(name, member string, values []any) []audit.Field {
	if member != "ARGV" {
		return nil
	}
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i], _ = v.(string)
	}
	if name == "PROCTITLE" || name == "PARENT_INFO" {
		return []audit.Field{{Name: "proctitle", Value: strings.Join(texts, " ")}}
	}
	var out []audit.Field
	for i, text := range texts {
		if name == "SYSCALL" {
			text = strings.TrimPrefix(text, "0x")
		}
		out = append(out, audit.Field{Name: fmt.Sprint("a", i), Value: text})
	}
	return out
}
