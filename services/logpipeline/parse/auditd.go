package parse

import (
	"strconv"
	"strings"

	"github.com/ironpost/ironpost/services/logpipeline/audit"
	"github.com/ironpost/ironpost/sigma"
)

// Audit is a record of the Linux audit system, as auditd, the kernel or a syslog plugin of auditd writes it.
const Audit Format = "audit"

// unsetID is a user id that is not set: 2^32-1.
const unsetID = "4294967295"

// parseAuditLine parses a line of audit.log. Behind a syslog header only the programs of auditd have records, see parseAuditMessage: any
// program may have the text of one in its message.
func parseAuditLine(ev *Event, text string) bool {
	if ev.Logsource != (sigma.Logsource{}) {
		return false
	}
	return parseAuditRecord(ev, text)
}

// parseAuditMessage parses a message of auditd's plugins, of the kernel, or of journald, which reads the records from the kernel and writes
// them without time and serial: "SYSCALL arch=c000003e …".
func parseAuditMessage(ev *Event) {
	if parseAuditRecord(ev, ev.Message) || ev.Process != "audit" {
		return
	}
	name, rest, _ := strings.Cut(ev.Message, " ")
	if name == "" || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_[]<>") != "" {
		return
	}
	if ev.auditStamp != "" && parseAuditRecord(ev, "type="+name+" msg=audit("+ev.auditStamp+"): "+rest) {
		return
	}
	setAuditRecord(ev, audit.ParseBody(name, rest))
}

// parseAuditRecord parses a whole record.
func parseAuditRecord(ev *Event, text string) bool {
	record, ok := audit.Parse(text)
	if !ok {
		return false
	}
	ev.Format, ev.Time = Audit, record.Time
	ev.Message = text
	setAuditRecord(ev, record)
	return true
}

// setAuditRecord sets the fields of a record as rules for the service auditd expect them: those of the record by their names, its type, and
// the names of the system call and its architecture, which auditd adds only if it enriches records.
func setAuditRecord(ev *Event, r audit.Record) {
	ev.Logsource = sigma.Logsource{Product: "linux", Service: "auditd"}
	ev.Audit = &r
	if r.Node != "" {
		ev.Host = r.Node
		ev.set("node", r.Node)
	}
	for n, argument := range audit.Arguments([]audit.Record{r}) {
		ev.set("a"+strconv.Itoa(n), argument)
	}
	setAuditFields(ev, &r)
	ev.set("type", r.Type)
	if arch, call := audit.Syscall(r.Get("arch"), r.Get("syscall")); r.Type == "SYSCALL" {
		setMissing(ev, "ARCH", arch)
		setMissing(ev, "SYSCALL", call)
	}
	setAuditActor(ev, &r)
	if address, ok := audit.ParseAddress(r.Get("saddr")); ok {
		setAuditAddress(ev, address)
	}
}

// reservedNames are fields that no record may set: they are of the event, or say where it came from.
var reservedNames = map[string]bool{
	"message": true, "raw": true, "host": true, "process": true, "user": true, "action": true, "src_ip": true, "src_host": true, "src_port": true,
	"type": true, "node": true, "origin": true, "trust": true, "log_host": true, "container": true,
}

// setAuditFields sets the fields of r by their names. One that comes again is a list of its values, but for those that the kernel writes
// before the text of a program.
func setAuditFields(ev *Event, r *audit.Record) {
	var again map[string][]string
	for _, f := range r.Fields {
		switch first := ev.text(f.Name); {
		case reservedNames[f.Name], strings.ContainsAny(f.Name, ".["), f.Name == "key" && f.Value == "(null)":
		case !ev.has(f.Name):
			ev.set(f.Name, f.Value)
		case f.Name == "pid", f.Name == "uid", f.Name == "auid", f.Name == "ses", f.Value == first:
		default:
			if again == nil {
				again = map[string][]string{}
			}
			if again[f.Name] == nil {
				again[f.Name] = []string{first}
			}
			again[f.Name] = append(again[f.Name], f.Value)
		}
	}
	for name, values := range again {
		ev.setList(name, values)
	}
	if keys := strings.Split(ev.text("key"), "\x01"); len(keys) > 1 {
		ev.setList("key", keys)
	}
}

func setMissing(ev *Event, name, value string) {
	if !ev.has(name) {
		ev.set(name, value)
	}
}

// setAuditActor sets the user and the address that a record is about.
func setAuditActor(ev *Event, r *audit.Record) {
	if user := auditUser(r); user != "" {
		ev.setUser(user)
	}
	if addr := r.Get("addr"); addr != "" && addr != "?" {
		ev.setSource(addr)
	}
}

// auditUser returns the account of a login, else the user who logged in, whatever they became since, else the user of the process.
func auditUser(r *audit.Record) string {
	if acct := known(r.Get("acct")); acct != "" {
		return acct
	}
	for _, names := range [][2]string{{"AUID", "auid"}, {"UID", "uid"}} {
		if name := known(r.Get(names[0])); name != "" && name != "unset" {
			return name
		}
		if id := r.Get(names[1]); id != "" && id != unsetID {
			return userName(id)
		}
	}
	return ""
}

// known returns s, or "" if it says that it is not known.
func known(s string) string {
	if s == "?" || s == "(null)" || s == "(unknown)" || strings.HasPrefix(s, "unknown(") {
		return ""
	}
	return s
}

// userName returns the name of the user with an id where it is the same everywhere.
func userName(id string) string {
	if id == "0" {
		return "root"
	}
	return id
}

// setAuditAddress sets what the saddr of a record says in the names that auditd gives it when it interprets it.
func setAuditAddress(ev *Event, a audit.Address) {
	ev.set("saddr_fam", a.Family)
	if a.Peer.IsValid() {
		ev.set("laddr", a.Peer.Addr().String())
		ev.setInt("lport", int64(a.Peer.Port()))
	}
	ev.set("path", a.Path)
}

// AddCall adds what the SYSCALL record of the event says of who did it, unless the record itself says it.
func (e *Event) AddCall(call *audit.Record) {
	for _, name := range [...]string{"exe", "comm", "pid", "ppid", "uid", "auid"} {
		setMissing(e, name, call.Get(name))
	}
	if user := auditUser(call); e.User == "" && user != "" {
		e.setUser(user)
	}
}
