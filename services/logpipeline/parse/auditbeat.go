package parse

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/ironpost/ironpost/services/logpipeline/audit"
)

// parseAuditbeat parses an event of the Elastic Common Schema that is about a process: audit events of Auditbeat's module auditd and of the
// integration auditd_manager, which are put together as those of LAUREL are, events of go-libaudit itself, which have the same members
// without "auditd.", and starts of processes that other sensors saw. Without a header, or of a program of Elastic: any program may have one
// in its message.
func parseAuditbeat(ev *Event) bool {
	module := ev.text("event.module")
	isAudit := module == "auditd" || module == "auditd_manager" || module == "" && ev.has("record_type") && ev.has("sequence") && ev.has("summary")
	if !isAudit && !ev.isProcessStart() || !slices.Contains([]string{"", "auditbeat", "elastic-agent"}, ev.outerProcess) {
		return false
	}
	records, peer := ecsRecords(ev, isAudit)
	if len(records) == 0 {
		return false
	}
	ev.Host = cmp.Or(ev.text("host.hostname", "host.name", "agent.hostname", "beat.hostname"), ev.Host)
	if isAudit {
		ev.setRecords(records, Auditbeat)
	}
	a := newAudited(records)
	if peer.Peer.IsValid() {
		a.peer = peer
	}
	for _, more := range auditEvents(a, Event{Format: Auditbeat, Time: ev.Time, Host: ev.Host}, ev.Message) {
		if !isAudit {
			more.Logsource.Service = module
		}
		ev.More = append(ev.More, more)
	}
	return true
}

// isProcessStart reports whether an event says that a process was started, on a system that is not known to be another than Linux.
func (e *Event) isProcessStart() bool {
	if system := e.text("host.os.type", "host.os.family"); system == "windows" || system == "macos" {
		return false
	}
	return e.holds("event.category", "process") && e.holds("event.type", "start") && e.text("process.executable") != ""
}

// holds reports whether a field is value, or a list in which value is.
func (e *Event) holds(name, value string) bool {
	list, isList := e.value(name).([]any)
	return e.text(name) == value || isList && slices.Contains(list, any(value))
}

// ecsRecords returns the records of an audit event if it has them (include_raw_message), else those that auditd would have written of it, and
// the other end of its connection.
func ecsRecords(ev *Event, isAudit bool) (records []audit.Record, peer audit.Address) {
	if isAudit {
		if records = ecsOriginal(ev); len(records) > 0 {
			return records, peer
		}
	}
	kind := strings.ToUpper(ev.text("auditd.message_type", "record_type"))
	if kind != "" && kind != "SYSCALL" {
		return []audit.Record{ecsUserRecord(ev, kind)}, peer
	}
	call := ecsCall(ev)
	if call.Get("exe") == "" && call.Get("pid") == "" {
		return nil, peer
	}
	records = append(records, call)
	add := func(kind, name, value string) {
		if value != "" {
			records = append(records, audit.Record{Type: kind, Fields: []audit.Field{{Name: name, Value: value}}})
		}
	}
	name := call.Get("SYSCALL")
	if name == "execve" || name == "execveat" || ev.isProcessStart() {
		if arguments := textsOf(ev.value("process.args")); len(arguments) > 0 {
			records = append(records, audit.Record{Type: "EXECVE", Fields: laurelArguments("EXECVE", "ARGV", arguments)})
		} else {
			add("EXECVE", "a0", ev.text("process.command_line", "process.title"))
		}
	}
	add("CWD", "cwd", ev.text("process.working_directory", "process.cwd"))
	records = append(records, ecsPaths(ev)...)
	add("PROCTITLE", "proctitle", ev.text("process.title"))
	if parent := ev.text("process.parent.executable"); parent != "" {
		line := cmp.Or(ev.text("process.parent.command_line"), strings.Join(texts(textsOf(ev.value("process.parent.args"))), " "))
		records = append(records, audit.Record{Type: "PARENT_INFO", Fields: []audit.Field{{Name: "exe", Value: parent}, {Name: "proctitle", Value: line}}})
	}
	return records, ecsPeer(ev)
}

// ecsOriginal returns the records that an event was made of.
func ecsOriginal(ev *Event) (records []audit.Record) {
	for _, item := range textsOf(ev.value("event.original")) {
		text, _ := item.(string)
		for line := range strings.Lines(text) {
			if r, ok := audit.Parse(strings.TrimRight(line, "\r\n")); ok && len(records) < maxLaurel {
				records = append(records, r)
			}
		}
	}
	return records
}

// ecsUserRecord returns the record of an event that is no system call, such as a login.
func ecsUserRecord(ev *Event, kind string) audit.Record {
	data, _ := firstOf(ev, "auditd.data", "data").(map[string]any)
	r := laurelRecord(kind, data)
	for _, f := range ecsCall(ev).Fields {
		if r.Get(f.Name) == "" && f.Name != "success" {
			r.Fields = append(r.Fields, f)
		}
	}
	if addr := ev.text("source.ip"); r.Get("addr") == "" && addr != "" {
		r.Fields = append(r.Fields, audit.Field{Name: "addr", Value: addr})
	}
	result := "success"
	if outcome := ev.text("auditd.result", "event.outcome", "result"); strings.HasPrefix(outcome, "fail") {
		result = "failed"
	}
	r.Fields = append(r.Fields, audit.Field{Name: "res", Value: result})
	return r
}

// ecsCall returns the SYSCALL record of an event.
func ecsCall(ev *Event) audit.Record {
	r := audit.Record{Type: "SYSCALL"}
	for _, f := range ecsCallFields {
		if value := ev.text(f.members...); value != "" && value != "unset" {
			r.Fields = append(r.Fields, audit.Field{Name: f.name, Value: value})
		}
	}
	success := "yes"
	if strings.HasPrefix(ev.text("auditd.result", "event.outcome", "result"), "fail") {
		success = "no"
		if r.Get("exit") == "EINPROGRESS" {
			r.Fields = slices.DeleteFunc(r.Fields, func(f audit.Field) bool { return f.Name == "exit" })
			r.Fields = append(r.Fields, audit.Field{Name: "exit", Value: inProgress})
		}
	}
	r.Fields = append(r.Fields, audit.Field{Name: "success", Value: success})
	if keys := textsOf(ev.value("tags")); len(keys) > 0 {
		r.Fields = append(r.Fields, audit.Field{Name: "key", Value: strings.Join(texts(keys), "\x01")})
	}
	return r
}

// ecsCallFields are the fields of a SYSCALL record, and the members of an event that have them, in the schema and before it was used.
var ecsCallFields = [...]struct {
	name    string
	members []string
}{
	{"SYSCALL", []string{"auditd.data.syscall", "data.syscall"}},
	{"ARCH", []string{"auditd.data.arch", "data.arch"}},
	{"exit", []string{"auditd.data.exit", "data.exit"}},
	{"a0", []string{"auditd.data.a0", "data.a0"}},
	{"a1", []string{"auditd.data.a1", "data.a1"}},
	{"a2", []string{"auditd.data.a2", "data.a2"}},
	{"a3", []string{"auditd.data.a3", "data.a3"}},
	{"tty", []string{"auditd.data.tty", "data.tty"}},
	{"ses", []string{"auditd.session", "session"}},
	{"pid", []string{"process.pid"}},
	{"ppid", []string{"process.parent.pid", "process.ppid"}},
	{"comm", []string{"process.name"}},
	{"exe", []string{"process.executable", "process.exe"}},
	{"uid", []string{"user.id", "user.uid", "user.ids.uid"}},
	{"euid", []string{"user.effective.id", "user.euid", "user.ids.euid"}},
	{"auid", []string{"user.audit.id", "user.auid", "user.ids.auid"}},
	{"UID", []string{"user.name", "user.name_map.uid", "user.names.uid"}},
	{"AUID", []string{"user.audit.name", "user.name_map.auid", "user.names.auid"}},
}

// ecsPaths returns the PATH records of an event.
func ecsPaths(ev *Event) (records []audit.Record) {
	list, _ := firstOf(ev, "auditd.paths", "paths").([]any)
	for i, item := range list {
		members, ok := item.(map[string]any)
		if !ok || len(records) == maxPaths {
			continue
		}
		r := laurelRecord("PATH", members)
		if r.Get("item") == "" {
			r.Fields = append(r.Fields, audit.Field{Name: "item", Value: strconv.Itoa(i)})
		}
		records = append(records, r)
	}
	return records
}

// ecsPeer returns the other end of a connection.
func ecsPeer(ev *Event) audit.Address {
	for _, of := range [...]string{"auditd.data.socket.addr auditd.data.socket.port", "data.socket_addr data.socket_port", "data.addr data.port", "destination.ip destination.port", "source.ip source.port"} {
		address, port, _ := strings.Cut(of, " ")
		ip, ok := parseAddress(ev.text(address))
		n, err := strconv.ParseUint(ev.text(port), 10, 16)
		if ok && err == nil {
			return audit.Address{Family: "inet", Peer: netip.AddrPortFrom(ip, uint16(n))}
		}
	}
	return audit.Address{}
}

// firstOf returns the first of two fields that is set.
func firstOf(ev *Event, name, other string) any {
	if v := ev.value(name); v != nil {
		return v
	}
	return ev.value(other)
}

// textsOf returns a list as it is, and text as a list of one.
func textsOf(value any) []any {
	switch v := value.(type) {
	case []any:
		return v
	case string:
		return []any{v}
	}
	return nil
}

// texts returns the values of a list as text.
func texts(values []any) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = fmt.Sprint(v)
	}
	return out
}
