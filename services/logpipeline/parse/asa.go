package parse

import (
	"strings"

	"github.com/ironpost/ironpost/sigma"
)

// isASA reports whether a tag is the mnemonic of Cisco ASA or Firepower: %ASA-6-302013, or with a class, %ASA-session-6-302013.
func isASA(process string) bool {
	return strings.HasPrefix(process, "%ASA-") || strings.HasPrefix(process, "%FTD-")
}

// parseASA parses a message of Cisco ASA or Firepower ("Cisco Secure Firewall ASA Series Syslog Messages"). What a client writes, such as a
// user name, is free text of the forms.
func parseASA(ev *Event) {
	ev.Logsource = sigma.Logsource{Category: "firewall", Product: "cisco", Service: "asa"}
	parts := strings.Split(ev.Process, "-")
	if len(parts) >= 3 {
		ev.set("message_id", parts[len(parts)-1])
		ev.set("level", parts[len(parts)-2])
	}
	if !asaPhrases.parse(ev, ev.Message) {
		parseASAURL(ev)
		return
	}
	ev.set("protocol", strings.ToLower(ev.text("protocol")))
	ev.set("tcp_flags", strings.TrimSpace(ev.text("tcp_flags")))
	if reason, user, ok := strings.Cut(ev.text("reason"), " : user = "); ok { // 113005: both may have blanks
		ev.set("reason", reason)
		ev.setUser(user)
	}
	switch ev.text("action") {
	case "drop":
		ev.set("blocked", "true")
	case "accept":
		ev.set("blocked", "false")
	}
}

// parseASAURL parses message 304001, which begins with the client:
//
//	192.0.2.7 Accessed URL 198.51.100.1:/a?b
func parseASAURL(ev *Event) {
	client, rest, ok := strings.Cut(ev.Message, " Accessed URL ")
	peer, isHop := parseHop(client)
	server, uri, hasURI := strings.Cut(rest, ":")
	if !ok || !isHop || !hasURI {
		return
	}
	ev.Logsource.Category = "proxy"
	ev.setPeer(peer)
	ev.set("dst_ip", server)
	ev.set("c-uri", uri)
	ev.setURI(uri)
}

var asaPhrases = compile(
	// 106001, 106006, 106007, 106014, 106015, 106010, 106017, 106021
	form{"Inbound TCP connection denied from {src}/{port} to {dst_ip}/{dst_port} flags {tcp_flags*} on interface {in_interface}", "drop", "protocol=tcp"},
	form{"Deny inbound UDP from {src}/{port} to {dst_ip}/{dst_port} due to {reason*}", "drop", "protocol=udp"},
	form{"Deny inbound UDP from {src}/{port} to {dst_ip}/{dst_port} on interface {in_interface}", "drop", "protocol=udp"},
	form{"Deny inbound icmp src {in_interface}:{src} dst {out_interface}:{dst_ip} (type {icmp_type}, code {icmp_code})", "drop", "protocol=icmp"},
	form{"Deny TCP (no connection) from {src}/{port} to {dst_ip}/{dst_port} flags {tcp_flags*} on interface {in_interface}", "drop", "protocol=tcp"},
	form{"Deny inbound protocol {protocol} src {in_interface}:{src}/{port} dst {out_interface}:{dst_ip}/{dst_port}", "drop", ""},
	form{"Deny inbound protocol {protocol} src {in_interface}:{src} dst {out_interface}:{dst_ip}", "drop", ""},
	form{"Deny IP due to Land Attack from {src} to {dst_ip}", "drop", "reason=land_attack"},
	form{"Deny {protocol} reverse path check from {src} to {dst_ip} on interface {in_interface}", "drop", "reason=reverse_path"},
	// 106023
	form{"Deny {protocol} src {in_interface}:{src}/{port} dst {out_interface}:{dst_ip}/{dst_port} by access-group \"{rule}\" [{_*}", "drop", ""},
	form{"Deny {protocol} src {in_interface}:{src} dst {out_interface}:{dst_ip} (type {icmp_type}, code {icmp_code}) by access-group \"{rule}\" [{_*}", "drop", ""},
	form{"Deny {protocol} src {in_interface}:{src}/{port}({user*}) dst {out_interface}:{dst_ip}/{dst_port} by access-group \"{rule}\" [{_}, {_}]", "drop", ""},
	form{"Deny protocol {protocol} src {in_interface}:{src} dst {out_interface}:{dst_ip} by access-group \"{rule}\" [{_*}", "drop", ""},
	// 106100
	form{"access-list {rule} permitted {protocol} {in_interface}/{src}({port}) -> {out_interface}/{dst_ip}({dst_port}) hit-cnt {_*}", "accept", ""},
	form{"access-list {rule} est-allowed {protocol} {in_interface}/{src}({port}) -> {out_interface}/{dst_ip}({dst_port}) hit-cnt {_*}", "accept", ""},
	form{"access-list {rule} denied {protocol} {in_interface}/{src}({port}) -> {out_interface}/{dst_ip}({dst_port}) hit-cnt {_*}", "drop", ""},
	// 302013, 302015: the outer address is that of the foreign side, which opened an inbound connection
	form{"Built inbound {protocol} connection {connection} for {in_interface}:{src}/{port} ({_}) to {out_interface}:{dst_ip}/{dst_port} {_*}", "accept", "direction=in"},
	form{"Built inbound {protocol} connection {connection} for {in_interface}:{src}/{port} ({_})({_}) to {out_interface}:{dst_ip}/{dst_port} {_*}", "accept", "direction=in"},
	form{"Built outbound {protocol} connection {connection} for {out_interface}:{dst_ip}/{dst_port} ({_}) to {in_interface}:{src}/{port} {_*}", "accept", "direction=out"},
	form{"Built inbound {protocol} connection {connection} for {in_interface}:{src}/{port} {_*}", "accept", "direction=in"},
	// 302014, 302016: which side opened the connection is not said
	form{"Teardown {protocol} connection {connection} for {_}:{_}/{_} to {_}:{_}/{_} duration {duration} bytes {bytes} {reason*}", "connection_closed", ""},
	form{"Teardown {protocol} connection {connection} for {_}:{_}/{_} to {_}:{_}/{_} duration {duration} bytes {bytes}", "connection_closed", ""},
	// 605004, 605005, 611101, 611102, 611103
	form{"Login denied from {src}/{port} to {in_interface}:{dst_ip}/{service} for user \"{user*}\"", "login_failed", ""},
	form{"Login permitted from {src}/{port} to {in_interface}:{dst_ip}/{service} for user \"{user*}\"", "login_success", ""},
	form{"User authentication succeeded: IP address: {src}, Uname: {user*}", "login_success", ""},
	form{"User authentication failed: IP address: {src}, Uname: {user*}", "login_failed", ""},
	form{"User authentication succeeded: Uname: {user*}", "login_success", ""},
	form{"User authentication failed: Uname: {user*}", "login_failed", ""},
	form{"User logged out: Uname: {user*}", "session_closed", ""},
	form{"User '{user}' executed the '{command*}' command.", "command", ""},
	form{"User '{_}', running '{_}' from IP {src}, executed '{command*}'", "command", ""},
	// 113004, 113005, 113006, 113008, 113012, 113015, 113019, 113039
	form{"AAA user authentication Successful : server = {server} : user = {user*}", "auth_success", ""},
	form{"AAA user authentication Successful : local database : user = {user*}", "auth_success", ""},
	form{"AAA user authentication Rejected : reason = {reason*} : user IP = {src}", "login_failed", ""},
	form{"AAA user authentication Rejected : reason = {reason*}", "login_failed", ""},
	form{"User {user*} locked out on exceeding {_} successive failed authentication attempts", "account_locked", ""},
	form{"Group <{group}> User <{user*}> IP <{src}> AnyConnect parent session started.", "session_opened", ""},
	form{"Group = {group}, Username = {user}, IP = {src}, Session disconnected. {reason*}", "session_closed", ""},
	// 713, 716, 722, 733
	form{"Group <{group}> User <{user*}> IP <{src}> WebVPN session started.", "session_opened", ""},
	form{"Group <{group}> User <{user*}> IP <{src}> Authentication: successful, Session Type: {service}", "login_success", ""},
	form{"Group <{group}> User <{user*}> IP <{src}> Authentication: rejected, Session Type: {service}", "login_failed", ""},
	form{"IP = {src}, {reason*}", "", ""},
	form{"Group = {group}, IP = {src}, {reason*}", "", ""},
	form{"[ {reason}] drop rate-{_} exceeded. {_*}", "threat_detected", ""},
	form{"[{reason}] drop rate-{_} exceeded. {_*}", "threat_detected", ""},
)
