package parse

import (
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/ironpost/ironpost/services/logpipeline/audit"
	"github.com/ironpost/ironpost/sigma"
)

// maxPaths bounds the files of one event.
const maxPaths = 16

// audited is what the records of one event of the audit system say together.
type audited struct {
	records   []audit.Record
	call      *audit.Record // SYSCALL, empty if it is missing
	name      string        // of the system call
	arguments []string      // of the program that was started
	peer      audit.Address // of the SOCKADDR record
}

func newAudited(records []audit.Record) *audited {
	a := &audited{records: records, call: &audit.Record{}, arguments: audit.Arguments(records)}
	if r := a.first("SYSCALL"); r != nil {
		_, known := audit.Syscall(r.Get("arch"), r.Get("syscall"))
		a.call, a.name = r, cmp.Or(r.Get("SYSCALL"), known)
	}
	a.peer, _ = audit.ParseAddress(a.get("SOCKADDR", "saddr"))
	return a
}

// first returns the first record of a type, nil if there is none.
func (a *audited) first(typeName string) *audit.Record {
	for i := range a.records {
		if a.records[i].Type == typeName {
			return &a.records[i]
		}
	}
	return nil
}

// get returns a field of the first record of a type, "" if there is none.
func (a *audited) get(typeName, name string) string {
	if r := a.first(typeName); r != nil {
		return r.Get(name)
	}
	return ""
}

// JoinAudit returns what the records of one event of the audit system are in the taxonomy of Sigma: a process that was started, files that
// were created, written to or deleted, a connection. Each has the category and the service auditd. Most events are none of these.
func JoinAudit(g *audit.Group) []Event {
	return auditEvents(newAudited(g.Records()), Event{Format: Audit, Time: g.Time, Host: g.Host}, strings.Join(g.Texts, "\n"))
}

// auditEvents returns the events that a tells of, with the format, time and host of base and the text raw.
func auditEvents(a *audited, base Event, raw string) []Event {
	if a.call.Get("success") == "no" && a.call.Get("exit") != inProgress {
		return nil
	}
	var out []Event
	add := func(category string, set func(ev *Event)) {
		ev := Event{Format: base.Format, Time: base.Time, Host: base.Host, Process: a.call.Get("comm")}
		ev.Logsource = sigma.Logsource{Category: category, Product: "linux", Service: "auditd"}
		a.setProcess(&ev)
		set(&ev)
		ev.finish(raw)
		out = append(out, ev)
	}
	if command := a.commandLine(); command != "" {
		add("process_creation", func(ev *Event) { ev.set("CommandLine", command); ev.Message = command })
	}
	for _, f := range a.files() {
		add(f.category, func(ev *Event) { ev.set("TargetFilename", f.name); ev.Message = a.name + " " + f.name })
	}
	if peer, initiated, ok := a.connection(); ok {
		add("network_connection", func(ev *Event) { setConnection(ev, peer, initiated); ev.Message = a.name + " " + peer.Peer.String() })
	}
	return out
}

// inProgress is -EINPROGRESS, what connect returns for a socket that does not wait.
const inProgress = "-115"

// setProcess sets the process that did it.
func (a *audited) setProcess(ev *Event) {
	r := a.call
	ev.set("Image", known(cmp.Or(r.Get("exe"), a.executable())))
	ev.set("ProcessId", r.Get("pid"))
	ev.set("ParentProcessId", r.Get("ppid"))
	ev.set("ParentImage", a.get("PARENT_INFO", "exe"))
	ev.set("ParentCommandLine", a.get("PARENT_INFO", "proctitle"))
	ev.set("User", cmp.Or(known(r.Get("UID")), userName(r.Get("uid"))))
	ev.set("CurrentDirectory", a.get("CWD", "cwd"))
	ev.set("key", strings.ReplaceAll(known(r.Get("key")), "\x01", ","))
	ev.set("auid", r.Get("auid"))
	ev.set("tty", known(r.Get("tty")))
	if r.Get("auid") != unsetID {
		ev.set("LogonId", r.Get("auid"))
	}
	if user := auditUser(r); user != "" {
		ev.setUser(user)
	}
}

// SetParent sets the program that started the one that the event is about, unless the event itself says it.
func (e *Event) SetParent(image, commandLine string) {
	if !e.has("ParentImage") && !e.has("ParentCommandLine") {
		e.set("ParentImage", image)
		e.set("ParentCommandLine", commandLine)
	}
}

// executable returns the file that was executed by the first PATH record, which an event has also if its SYSCALL record is lost.
func (a *audited) executable() string {
	if r := a.first("PATH"); r != nil && len(a.arguments) > 0 && r.Get("item") == "0" {
		return r.Get("name")
	}
	return ""
}

// commandLine returns the arguments of the program that the event started, with blanks between, "" if it started none.
func (a *audited) commandLine() string {
	if line := strings.Join(a.arguments, " "); line != "" {
		return line
	}
	if a.name == "execve" || a.name == "execveat" {
		return a.get("PROCTITLE", "proctitle")
	}
	return ""
}

// file is a file that an event created, wrote to or deleted.
type file struct{ category, name string }

// files returns the files of the event, at most maxPaths.
func (a *audited) files() []file {
	var out []file
	for i := range a.records {
		r := &a.records[i]
		if r.Type != "PATH" || known(r.Get("name")) == "" {
			continue
		}
		category := ""
		switch kind := r.Get("nametype"); {
		case kind == "CREATE", kind == "NORMAL" && a.writes():
			category = "file_event"
		case kind == "DELETE":
			category = "file_delete"
		}
		f := file{category, a.absolute(r.Get("name"))}
		if category != "" && len(out) < maxPaths && !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	return out
}

// absolute returns the path of a file without "..", which would hide it from a rule. The kernel does not say of which open folder a path is
// relative to; such a one is taken to be in the working directory, as ausearch does.
func (a *audited) absolute(name string) string {
	if path.IsAbs(name) {
		return path.Clean(name)
	}
	return path.Join(a.get("CWD", "cwd"), name)
}

// writes reports whether the system call opens a file to write to it.
func (a *audited) writes() bool {
	flags := ""
	switch a.name {
	case "open":
		flags = a.call.Get("a1")
	case "openat":
		flags = a.call.Get("a2")
	case "creat", "truncate":
		return true
	}
	n, err := strconv.ParseUint(flags, 16, 64)
	return err == nil && n&3 != 0 // O_WRONLY or O_RDWR
}

// connection returns the other end of a connection, and whether the process began it.
func (a *audited) connection() (peer audit.Address, initiated, ok bool) {
	switch a.name {
	case "connect", "sendto", "sendmsg":
		initiated = true
	case "accept", "accept4":
	default:
		return audit.Address{}, false, false
	}
	return a.peer, initiated, a.peer.Peer.IsValid()
}

func setConnection(ev *Event, peer audit.Address, initiated bool) {
	ev.set("Initiated", strconv.FormatBool(initiated))
	ip, port := peer.Peer.Addr().String(), int64(peer.Peer.Port())
	if initiated {
		ev.set("DestinationIp", ip)
		ev.setInt("DestinationPort", port)
		return
	}
	ev.set("SourceIp", ip)
	ev.setInt("SourcePort", port)
	ev.setSource(ip)
	ev.setPort(peer.Peer.Port())
}
