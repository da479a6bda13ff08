package parse

import "strings"

// parseVsftpd parses the messages of vsftpd, in syslog and in its own file. Before a login the name is text of the client, and vsftpd
// escapes no bracket or quote: then the client's address is taken from the end, and nothing if there are two.
func parseVsftpd(ev *Event) {
	if strings.Count(ev.Message, `: Client "`) > 1 { // a name, password or path imitates a message
		return
	}
	if !vsftpdPhrases.parse(ev, ev.Message) {
		parsePAM(ev, ev.Message)
	}
}

var vsftpdPhrases = compile(
	form{"CONNECT: Client \"{src}\"[[, \"{_*}\"]]", "connection_opened", ""},
	form{"[{user*}] FAIL LOGIN: Client \"{src}\"", "login_failed", "auth_method=password"},
	form{"[ftp] OK LOGIN: Client \"{src}\", anon password \"{_*}\"", "login_success", "user=ftp auth_method=anonymous"},
	form{"[anonymous] OK LOGIN: Client \"{src}\", anon password \"{_*}\"", "login_success", "user=anonymous auth_method=anonymous"},
	form{"[{user*}] OK LOGIN: Client \"{src}\"", "login_success", "auth_method=password"},
	form{"[{user}] OK UPLOAD: Client \"{src}\", \"{path*}\", {_} bytes, {_}", "uploaded", ""},
	form{"[{user}] OK DOWNLOAD: Client \"{src}\", \"{path*}\", {_} bytes, {_}", "downloaded", ""},
	form{"[{user}] OK UPLOAD: Client \"{src}\", {path*}", "uploaded", ""},
	form{"[{user}] FAIL UPLOAD: Client \"{src}\", {path*}", "upload_failed", ""},
	form{"[{user}] OK DOWNLOAD: Client \"{src}\", {path*}", "downloaded", ""},
	form{"[{user}] FAIL DOWNLOAD: Client \"{src}\", {path*}", "download_failed", ""},
	form{"[{user}] OK DELETE: Client \"{src}\", {path*}", "deleted", ""},
)

// parseVsftpdFile parses a line of vsftpd's own file: "Sun Nov 29 20:00:00 2026 [pid 2] [bob] FAIL LOGIN: Client "192.0.2.7"".
func parseVsftpdFile(ev *Event, line string) bool {
	at, rest, ok := ev.settings.cutTimestamp(line)
	if !ok {
		return false
	}
	pid, message, ok := strings.Cut(strings.TrimLeft(rest, " "), "] ")
	number, isPID := strings.CutPrefix(pid, "[pid ")
	n, rest, isNumber := cutNumber(number, 1, 9)
	if !ok || !isPID || !isNumber || rest != "" {
		return false
	}
	ev.Time, ev.PID, ev.Message = at.at, int64(n), message
	ev.setProgram("vsftpd", "vsftpd")
	parseVsftpd(ev)
	return true
}

// parseProFTPD parses the messages of ProFTPD, "198.51.100.1 (host[192.0.2.7]) - USER bob (Login failed): Incorrect password". The name of
// the host is that of the address's owner, and has no blank.
func parseProFTPD(ev *Event) {
	_, rest, _ := strings.Cut(ev.Message, " (")
	peer, what, ok := strings.Cut(rest, ")")
	open := strings.LastIndexByte(peer, '[')
	if !ok || open < 0 || strings.Contains(peer, " ") || !strings.HasSuffix(peer, "]") {
		parsePAM(ev, ev.Message)
		return
	}
	ev.setSource(peer[open+1 : len(peer)-1])
	what = strings.TrimPrefix(strings.TrimPrefix(what, " - "), ": ")
	proFTPDPhrases.parse(ev, what)
}

var proFTPDPhrases = compile(
	form{"USER {user*} (Login failed): Incorrect password[[.]]", "login_failed", "auth_method=password"},
	form{"USER {user*} (Login failed): No such user found[[.]]", "login_failed", "invalid_user"},
	form{"USER {user*} (Login failed): Invalid shell: {_}", "login_failed", ""},
	form{"USER {user*} (Login failed): Limit access denies login", "login_failed", ""},
	form{"USER {user*}: no such user found from {_} [{_}] to {_}", "login_failed", "invalid_user"},
	form{"USER {user*}: Login successful.", "login_success", "auth_method=password"},
	form{"SECURITY VIOLATION: {user*} login attempted[[.]]", "login_failed", ""},
	form{"SECURITY VIOLATION: Root login attempted[[.]]", "login_failed", "user=root"},
	form{"Maximum login attempts ({_}) exceeded, connection refused", "too_many_failures", ""},
	form{"FTP session opened.", "session_opened", ""},
	form{"FTP session closed.", "session_closed", ""},
	form{"SSH2 session opened.", "session_opened", ""},
	form{"SSH2 session closed.", "session_closed", ""},
)

// parsePureFTPD parses the messages of Pure-FTPd, "(?@192.0.2.7) [WARNING] Authentication failed for user [bob]". The name before the
// address is that of somebody who logged in, else a question mark.
func parsePureFTPD(ev *Event) {
	who, rest, ok := strings.Cut(ev.Message, ") [")
	user, host, isPeer := strings.Cut(strings.TrimPrefix(who, "("), "@")
	_, what, found := strings.Cut(rest, "] ")
	if !ok || !isPeer || !found || strings.Contains(host, " ") {
		parsePAM(ev, ev.Message)
		return
	}
	ev.setSource(host)
	if user != "?" {
		ev.setUser(user)
	}
	pureFTPDPhrases.parse(ev, what)
}

var pureFTPDPhrases = compile(
	form{"Authentication failed for user [{user*}]", "login_failed", "auth_method=password"},
	form{"New connection from {_}", "connection_opened", ""},
	form{"Logout.", "session_closed", ""},
	form{"Timeout - try typing a little faster next time", "auth_timeout", ""},
	form{"Too many authentication failures", "too_many_failures", ""},
)

// parseFTPD parses the messages of the ftpd of BSD and netkit, and of klogind.
func parseFTPD(ev *Event) {
	if !ftpdPhrases.parse(ev, ev.Message) {
		parsePAM(ev, ev.Message)
	}
}

var ftpdPhrases = compile(
	form{"connection from {src} ({host_name*}) at {_} {_} {_} {_} {_}", "connection_opened", ""},
	form{"connection from {src} ({host_name*}) at {_} {_}  {_} {_} {_}", "connection_opened", ""},
	form{"connection from {src}", "connection_opened", ""},
	form{"ANONYMOUS FTP LOGIN FROM {src}, {_*}", "login_success", "auth_method=anonymous user=anonymous"},
	form{"ANONYMOUS FTP LOGIN FROM {host_name} [{src}], {_*}", "login_success", "auth_method=anonymous user=anonymous"},
	form{"FTP LOGIN FROM {host_name} [{src}], {user*}", "login_success", "auth_method=password"},
	form{"FTP LOGIN FROM {src}, {user*}", "login_success", "auth_method=password"},
	form{"FTP LOGIN REFUSED FROM {host_name} [{src}], {user*}", "login_failed", ""},
	form{"FTP LOGIN REFUSED FROM {src}, {user*}", "login_failed", ""},
	form{"FTP LOGIN FAILED FROM {src}, {user*}", "login_failed", ""},
	form{"Authentication failed from {src} ({host_name}): {reason*}", "login_failed", "auth_method=kerberos"}, // klogind
	form{"Kerberos authentication failed", "login_failed", "auth_method=kerberos"},
)

// parseInetd parses the messages of xinetd and of TCP wrappers.
func parseInetd(ev *Event) { inetdPhrases.parse(ev, ev.Message) }

var inetdPhrases = compile(
	form{"START: {service} [[pid={_} ]]from={src}", "connection_opened", ""},
	form{"EXIT: {service} status={exit_code} {_*}", "connection_closed", ""},
	form{"FAIL: {service} {reason} from={src}", "connection_refused", ""},
	form{"connect from {host_name*} ({src})", "connection_opened", ""},
	form{"connect from {src}", "connection_opened", ""},
	form{"refused connect from {host_name*} ({src})", "connection_refused", ""},
	form{"refused connect from {src}", "connection_refused", ""},
)
