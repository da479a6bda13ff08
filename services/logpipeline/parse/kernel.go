package parse

import "strings"

// parseKernel parses a message of the kernel: a record of its audit system, a packet that a rule of netfilter logged, or one of those
// that say how a host or a program fares. The name of a process in it is chosen by whoever started it.
func parseKernel(ev *Event) {
	msg := withoutUptime(ev.Message)
	if parseAuditRecord(ev, msg) || parseNetfilter(ev, msg) || kernelPhrases.parse(ev, msg) {
		return
	}
	for _, known := range kernelParts {
		if name, reason, ok := strings.Cut(msg, known.part); ok {
			ev.setAction(known.action)
			ev.set(known.field, processName(name))
			ev.set("reason", strings.TrimLeft(known.part+reason, "]: "))
			return
		}
	}
}

// processName returns the name in "traps: name[4711".
func processName(s string) string {
	s = strings.TrimPrefix(s, "traps: ")
	if i := strings.LastIndexByte(s, '['); i >= 0 {
		return s[:i]
	}
	return s
}

// withoutUptime returns msg without "[12345.678901] " before it.
func withoutUptime(msg string) string {
	if uptime, rest, ok := strings.Cut(msg, "] "); ok && strings.HasPrefix(uptime, "[") && strings.Trim(uptime[1:], " .0123456789") == "" {
		return rest
	}
	return msg
}

var kernelPhrases = compile(
	form{"Out of memory: Killed process {killed_pid} ({process_name*}) total-vm:{_}, anon-rss:{_}, file-rss:{_}, shmem-rss:{_}, UID:{uid} pgtables:{_} oom_score_adj:{_}", "oom_killed", ""},
	form{"Out of memory: {reason*}", "oom_killed", ""},
	form{"Memory cgroup out of memory: {reason*}", "oom_killed", ""},
	form{"device {interface} entered promiscuous mode", "promiscuous_on", ""},
	form{"device {interface} left promiscuous mode", "promiscuous_off", ""},
	form{"TCP: {_}: Possible SYN flooding on port {reason*}", "syn_flood", ""},
	form{"martian source {dst_ip} from {src}, on dev {interface}", "martian_source", ""},
	form{"Kernel panic - {reason*}", "panic", ""},
	form{"BUG: {reason*}", "bug", ""},
	form{"Lockdown: {process_name*} is restricted; see man kernel_lockdown.7", "lockdown_denied", ""},
	form{"usb {usb_port}: New USB device found, idVendor={usb_vendor}, idProduct={usb_product}, bcdDevice={_*}", "usb_connected", ""},
	form{"usb {usb_port}: New USB device found, idVendor={usb_vendor}, idProduct={usb_product}", "usb_connected", ""},
	form{"usb {usb_port}: USB disconnect, device number {_}", "usb_disconnected", ""},
)

// kernelParts are parts of messages that begin with the name of a process, module or device.
var kernelParts = []struct{ part, action, field string }{
	{": entered promiscuous mode", "promiscuous_on", "interface"}, // since 6.4
	{": left promiscuous mode", "promiscuous_off", "interface"},
	{": loading out-of-tree module taints kernel.", "module_taints", "module"},
	{": module verification failed: ", "module_taints", "module"},
	{": module license ", "module_taints", "module"},
	{"]: segfault at ", "crashed", "process_name"},
	{"] general protection fault ", "crashed", "process_name"},
	{"] trap invalid opcode ", "crashed", "process_name"},
	{" invoked oom-killer: ", "oom", "process_name"},
	{": table full, dropping packet", "table_full", "table"},
}
