package parse

import (
	"cmp"
	"maps"
	"slices"

	"github.com/ironpost/ironpost/sigma"
)

// What network and host sensors write as JSON.
const (
	Suricata Format = "suricata" // EVE
	Zeek     Format = "zeek"
	Falco    Format = "falco"
	// Auditbeat is an audit event or the start of a process in the Elastic Common Schema, as Auditbeat, Elastic Agent and Elastic Defend write it.
	Auditbeat Format = "auditbeat"
)

// parseSuricata parses an EVE record (docs.suricata.io, EVE JSON format). Its members stay fields under their names; a DNS or HTTP record
// gets those of the category, too.
func parseSuricata(ev *Event) bool {
	kind := ev.text("event_type")
	if kind == "" || !ev.has("flow_id") && !ev.has("stats") && !ev.has("in_iface") {
		return false
	}
	ev.Logsource = sigma.Logsource{Product: "suricata", Service: kind}
	if kind == "dns" {
		ev.Logsource.Category = "dns"
		setMissing(ev, "query", ev.member([]string{"dns rrname", "dns query rrname"}))
		setMissing(ev, "record_type", ev.member([]string{"dns rrtype"}))
	}
	ev.Message = cmp.Or(ev.member([]string{"alert signature", "dns rrname", "http url", "tls sni"}), ev.Message)
	return true
}

// parseZeek parses a line of a JSON log of Zeek (docs.zeek.org, script reference). SigmaHQ's rules for Zeek use its own names.
func parseZeek(ev *Event) bool {
	if !ev.has("ts") || !ev.has("uid") || !ev.has("id.orig_h") {
		return false
	}
	ev.Logsource = sigma.Logsource{Product: "zeek", Service: zeekLog(ev)}
	ev.setSource(ev.text("id.orig_h"))
	return true
}

// zeekLog returns the log that a line is of: what a shipper says, else by a member that it alone has.
func zeekLog(ev *Event) string {
	if path := ev.text("_path"); path != "" {
		return path
	}
	for _, known := range [...][2]string{
		{"conn_state", "conn"}, {"note", "notice"}, {"auth_attempts", "ssh"}, {"cipher", "ssl"}, {"server_name", "ssl"}, {"status_code", "http"}, {"uri", "http"},
		{"query", "dns"}, {"rcode", "dns"},
	} {
		if ev.has(known[0]) {
			return known[1]
		}
	}
	return ""
}

// parseFalco parses an alert of Falco (falco.org, json_output). What it says of a process is an event of its own, for rules about processes.
func parseFalco(ev *Event) bool {
	if ev.isOfAnother("falco") || ev.text("rule") == "" || ev.text("output") == "" || ev.text("priority") == "" || !ev.has("output_fields") {
		return false
	}
	ev.Logsource = sigma.Logsource{Product: "falco"}
	ev.Message = ev.text("output")
	if user := ev.member([]string{"output_fields user.name"}); user != "" {
		ev.setUser(user)
	}
	command := ev.member([]string{"output_fields proc.cmdline"})
	if command == "" {
		return true
	}
	process := Event{Format: Falco, Time: ev.Time, Host: ev.Host, Message: command, User: ev.User}
	process.Logsource = sigma.Logsource{Category: "process_creation", Product: "linux", Service: "falco"}
	process.set("CommandLine", command)
	for _, n := range falcoNames {
		process.set(n.field, ev.member([]string{"output_fields " + n.member}))
	}
	setMissing(&process, "Image", ev.member([]string{"output_fields proc.name"}))
	process.finish(ev.Message)
	ev.More = []Event{process}
	return true
}

// falcoNames are the fields of a process and their names in Falco.
var falcoNames = [...]struct{ field, member string }{
	{"Image", "proc.exepath"},
	{"User", "user.name"},
	{"CurrentDirectory", "proc.cwd"},
	{"ParentImage", "proc.pexepath"},
	{"ParentCommandLine", "proc.pcmdline"},
	{"ProcessId", "proc.pid"},
	{"ParentProcessId", "proc.ppid"},
}

func sortedNames(members map[string]any) []string { return slices.Sorted(maps.Keys(members)) }
