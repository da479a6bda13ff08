package parse

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// setOuter sets what a record says of the line in it, and keeps it as fields where the line says something else. Fields with the names
// of those that every event has are removed: the line in the record sets them anew.
func (e *Event) setOuter(at time.Time, host, process string, pid string) {
	if !at.IsZero() {
		e.envelope, e.Time = at, at
	}
	e.Host = cmp.Or(host, e.Host)
	if process != "" {
		e.Process = programOf(process)
		if e.Process != process {
			e.set("tag", process)
		}
	}
	if n, err := strconv.ParseInt(pid, 10, 64); err == nil && n >= 0 {
		e.PID = n
	}
	e.drop("host", "process", "pid", "message")
}

// setPriorityNumbers sets the names of a facility and a severity, which are given by number or by name.
func (e *Event) setPriorityNumbers(facility, severity string) {
	e.drop("facility", "severity")
	e.set("facility", cmp.Or(Facility(facility), facility))
	e.set("severity", cmp.Or(Severity(severity), severityName(severity)))
}

// cutJournalJSON cuts a journal entry as journalctl -o json writes it (systemd.journal-fields(7)): all members stay fields, but for the
// message. A value that is no text is a list of bytes.
func cutJournalJSON(ev *Event) bool {
	if !ev.has("MESSAGE") || !ev.hasOneOf("__REALTIME_TIMESTAMP", "__CURSOR", "SYSLOG_IDENTIFIER", "_PID", "_COMM", "_TRANSPORT", "_HOSTNAME", "_BOOT_ID") {
		return false
	}
	for name, v := range ev.Fields.All() {
		if text, ok := bytesOf(v.Any()); ok {
			ev.set(name, text)
		}
	}
	micros, _ := strconv.ParseInt(ev.text("__REALTIME_TIMESTAMP"), 10, 64)
	process := ev.text("SYSLOG_IDENTIFIER", "_COMM")
	ev.inner = inner{text: ev.text("MESSAGE"), isMessage: process != "" && !ev.has("CONTAINER_ID")}
	ev.drop("MESSAGE")
	ev.setOuter(since1970(micros), ev.text("_HOSTNAME"), process, ev.text("SYSLOG_PID", "_PID"))
	ev.setPriorityNumbers(ev.text("SYSLOG_FACILITY"), ev.text("PRIORITY"))
	ev.Message = ev.inner.text
	return true
}

// bytesOf returns a list of bytes as text.
func bytesOf(value any) (string, bool) {
	list, ok := value.([]any)
	if !ok || len(list) == 0 {
		return "", false
	}
	out := make([]byte, len(list))
	for i, v := range list {
		n, isInt := v.(int64)
		if !isInt || n < 0 || n > 255 {
			return "", false
		}
		out[i] = byte(n)
	}
	return decodeBytes(string(out)), true
}

func (e *Event) hasOneOf(names ...string) bool {
	for _, name := range names {
		if e.has(name) {
			return true
		}
	}
	return false
}

// cutContainerJSON cuts a line of a container as the json-file driver of Docker writes it, and as Fluent Bit, Fluentd and others pass it on:
//
//	{"log":"…\n","stream":"stderr","time":"…"[,"attrs":{…}][,"kubernetes":{…}]}
//
// A text without a line feed at its end is a part of a longer line.
func cutContainerJSON(ev *Event) bool {
	line, stream := ev.text("log"), ev.text("stream")
	if !ev.has("log") || stream != "stdout" && stream != "stderr" && !ev.hasOneOf("kubernetes", "container_id") {
		return false
	}
	if v, _ := ev.Fields.Get("log"); !v.IsText() {
		return false
	}
	if stream != "" && !strings.HasSuffix(line, "\n") && ev.has("time") && !ev.has("kubernetes") {
		ev.setFlag("partial")
	}
	at := ev.memberTime()
	ev.drop("log", "time")
	ev.setOuter(at, ev.text("kubernetes.host"), "", "")
	ev.inner.text, ev.Message = line, strings.TrimRight(line, "\r\n")
	return true
}

// cutECS cuts an event of the Elastic Common Schema or of a shipper of Elastic, whose message is a line of a file, or of syslog:
//
//	{"@timestamp":…,"message":…,"log":{"syslog":{…}},"event":{"original":…},"host":{…},"process":{…}}
func cutECS(ev *Event) bool {
	line, isOriginal := ev.text("message"), false
	process := ev.text("process.name", "log.syslog.appname", "syslog.appname", "process.program")
	if original := ev.text("event.original"); original != "" && (line == "" || process == "") {
		line, isOriginal = original, true
	}
	if line == "" || !ev.hasOneOf("ecs", "ecs.version", "agent", "agent.type", "beat") && ev.value("log.syslog") == nil && !isOriginal {
		return false
	}
	ev.inner = inner{text: line, isMessage: process != "" && !isOriginal}
	at := ev.memberTime()
	host := ev.text("log.syslog.hostname", "host.hostname", "host.name", "hostname", "host")
	pid := ev.text("process.pid", "log.syslog.procid")
	facility := ev.text("log.syslog.facility.name", "log.syslog.facility.code")
	severity := ev.text("log.syslog.severity.name", "log.syslog.severity.code")
	for _, name := range [...]string{"host", "process", "user", "source"} {
		ev.flatten(name)
	}
	ev.setOuter(at, host, process, pid)
	ev.setPriorityNumbers(facility, severity)
	ev.Message = line
	return true
}

// flatten makes the members of an object fields with dotted names, because the name of the object is one that every event has.
func (e *Event) flatten(name string) {
	v, _ := e.Fields.Get(name)
	object, ok := v.Any().(map[string]any)
	if !ok {
		return
	}
	e.drop(name)
	for _, member := range slices.Sorted(maps.Keys(object)) {
		e.setValue(name+"."+member, object[member])
	}
}

// syslogNames are the names that the parts of a syslog message have in the JSON templates of rsyslog and syslog-ng, the parsers of Fluent
// Bit and Fluentd, and Vector. Other programs call parts of their records like those of weak, too.
var syslogNames = struct{ program, weak, message, host, pid, facility, severity []string }{
	program:  []string{"programname", "syslogtag", "syslog_tag", "SYSLOG_IDENTIFIER", "syslog_identifier", "appname", "app-name", "app_name", "APP-NAME", "PROGRAM", "ident", "log.syslog.appname"},
	weak:     []string{"program", "process", "process.name", "app", "application", "tag", "_COMM"},
	message:  []string{"message", "msg", "MESSAGE", "Message", "short_message", "log"},
	host:     []string{"hostname", "host", "HOST", "HOSTNAME", "_HOSTNAME", "fromhost", "host.name", "source_host", "source"},
	pid:      []string{"procid", "pid", "PID", "proc_id", "PROCID", "_PID", "SYSLOG_PID", "process.pid"},
	facility: []string{"syslogfacility-text", "facility", "syslogfacility", "facility-text", "FACILITY", "facility_label", "SYSLOG_FACILITY"},
	severity: []string{"syslogseverity-text", "severity", "syslogseverity", "severity-text", "PRIORITY", "priority", "severity_label", "level"},
}

// lineSources are the values of source_type of Vector whose message is a whole line.
var lineSources = map[string]bool{"file": true, "kubernetes_logs": true, "docker_logs": true, "stdin": true, "socket": true, "exec": true}

// cutSyslogJSON cuts an object that has the parts of a syslog message: its text, its program, and where or when it was written. An object
// of Vector with a line of a file has only the line.
func cutSyslogJSON(ev *Event) bool {
	n := &syslogNames
	message := ev.text(n.message...)
	if raw := ev.text("rawmsg"); message == "" && raw != "" {
		return ev.cutShipped(raw)
	}
	if message == "" {
		return false
	}
	if lineSources[ev.text("source_type")] {
		return ev.cutShipped(message)
	}
	name := ev.text(n.program...)
	program := cutTag(strings.TrimSuffix(name, ":") + ":")
	if name == "" {
		program = cutTag(strings.TrimSuffix(ev.text(n.weak...), ":") + ":")
		if _, known := programs[program.process]; !known {
			return false
		}
	}
	at, host, pid := ev.memberTime(), ev.text(n.host...), ev.text(n.pid...)
	facility, severity := ev.text(n.facility...), ev.text(n.severity...)
	if program.name == "" || at.IsZero() && host == "" && pid == "" && facility == "" {
		return false
	}
	if program.pid != 0 {
		pid = strconv.FormatInt(program.pid, 10)
	}
	ev.inner = inner{text: strings.TrimPrefix(message, " "), isMessage: true} // rsyslog keeps the blank behind the tag
	ev.setOuter(at, host, program.name, pid)
	ev.setPriorityNumbers(facility, severity)
	ev.setPriorityNumber(ev.text("pri"))
	ev.Message = message
	return true
}

// setPriorityNumber sets facility and severity from a PRI.
func (e *Event) setPriorityNumber(pri string) {
	if facility, severity, _, ok := cutPriority("<" + strings.Trim(pri, "<>") + ">"); ok && facility != "" {
		e.set("facility", facility)
		e.set("severity", severity)
	}
}

// cutShipped cuts a whole line out of a record of a shipper.
func (e *Event) cutShipped(line string) bool {
	e.setOuter(e.memberTime(), e.text(syslogNames.host...), "", "")
	e.inner.text, e.Message = line, line
	return true
}
