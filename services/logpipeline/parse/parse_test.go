package parse_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/logpipeline/parse"
	"github.com/ironpost/ironpost/sigma"
)

var now = time.Date(2026, time.November, 23, 9, 0, 0, 0, time.UTC)

func read(line string) parse.Event {
	return parse.New(parse.Options{Location: time.UTC}).Parse([]byte(line), now, shippedFormats())
}

// fields are expectations on Event.Fields; nil means the field must be absent.
type fields map[string]any

func requireFields(t *testing.T, want fields, ev parse.Event) {
	t.Helper()
	for name, value := range want {
		got, present := ev.Fields.Map()[name]
		if value == nil {
			require.False(t, present, "%s is %v in %q", name, got, ev.Fields.Map()["raw"])
			continue
		}
		require.Equal(t, value, got, "%s in %q", name, ev.Fields.Map()["raw"])
	}
}

func TestParseRecognisesEveryFormat(t *testing.T) {
	t.Parallel()
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339Nano, s)
		require.NoError(t, err)
		return v
	}
	for _, c := range []struct {
		name   string
		line   string
		format parse.Format
		time   time.Time
		want   fields
	}{
		{"bsd", "Nov  3 01:02:03 web1 foo[7]: hello", parse.RFC3164, at("2026-11-03T01:02:03Z"), fields{"host": "web1", "process": "foo", "pid": int64(7), "message": "hello", "facility": nil}},
		{"bsd one blank before a one-digit day", "Nov 3 01:02:03 web1 foo: hello", parse.RFC3164, at("2026-11-03T01:02:03Z"), fields{"host": "web1", "process": "foo", "pid": nil}},
		{"bsd with priority", "<38>Nov 13 01:02:03 web1 foo: hello", parse.RFC3164, at("2026-11-13T01:02:03Z"), fields{"facility": "auth", "severity": "info", "message": "hello"}},
		{"bsd with year", "<38>Nov 13 2019 01:02:03 web1 foo: hello", parse.RFC3164, at("2019-11-13T01:02:03Z"), fields{"host": "web1"}},
		{"bsd with fraction", "Nov 13 01:02:03.25 web1 foo: hello", parse.RFC3164, at("2026-11-13T01:02:03.25Z"), nil},
		{"bsd without host", "Nov 13 01:02:03 foo[9]: hello", parse.RFC3164, at("2026-11-13T01:02:03Z"), fields{"host": nil, "process": "foo", "pid": int64(9)}},
		{"priority and tag alone", "<13>foo[9]: hello", parse.RFC3164, time.Time{}, fields{"host": nil, "process": "foo", "severity": "notice"}},
		{"priority alone", "<13>hello there", parse.RFC3164, time.Time{}, fields{"process": nil, "message": "hello there"}},
		{"rsyslog timestamp", "2026-11-03T01:02:03.123456+02:00 web1 foo[7]: hello", parse.RFC3164, at("2026-11-02T23:02:03.123456Z"), fields{"host": "web1", "process": "foo"}},
		{"zone without colon", "2026-11-03T01:02:03+0200 web1 foo[7]: hello", parse.RFC3164, at("2026-11-02T23:02:03Z"), fields{"host": "web1"}},
		{"pam in the tag", "Jun 14 15:16:01 combo sshd(pam_unix)[19939]: check pass; user unknown", parse.RFC3164, at("2026-06-14T15:16:01Z"), fields{"process": "sshd", "tag": "sshd(pam_unix)", "pid": int64(19939)}},
		{"version in the tag", "Jun 19 04:09:11 combo syslogd 1.4.1: restart.", parse.RFC3164, at("2026-06-19T04:09:11Z"), fields{"process": "syslogd", "message": "restart."}},
		{"login with an overwritten name", "Jul  7 08:06:15 combo  -- sshd[2421]: ROOT LOGIN ON tty2", parse.RFC3164, at("2026-07-07T08:06:15Z"), fields{"process": "login", "host": "combo", "pid": int64(2421)}},
		{"mark", "Jul  7 08:06:15 combo -- MARK --", parse.RFC3164, at("2026-07-07T08:06:15Z"), fields{"process": nil, "message": "-- MARK --"}},
		{"url is no tag", "Jul  7 08:06:15 combo http://a/b c", parse.RFC3164, at("2026-07-07T08:06:15Z"), fields{"process": nil, "message": "http://a/b c"}},
		{"path in the tag", "Jul  7 08:06:15 combo /usr/sbin/foo[3]: hi", parse.RFC3164, at("2026-07-07T08:06:15Z"), fields{"process": "foo"}},
		{"rfc 5424", `<165>1 2026-10-11T22:14:15.003Z web1 foo 99 ID47 [a@1 x="1" y="q\"b\\c\]d\e"][b z=""] ` + "\ufeffhello", parse.RFC5424, at("2026-10-11T22:14:15.003Z"), fields{"host": "web1", "process": "foo", "pid": int64(99), "msgid": "ID47", "sd.a@1.x": "1", "sd.a@1.y": `q"b\c]d\e`, "sd.b.z": "", "message": "hello", "facility": "local4"}},
		{"rfc 5424 all nil", "<34>1 - - - - - -", parse.RFC5424, time.Time{}, fields{"host": nil, "process": nil, "pid": nil, "message": ""}},
		{"rfc 5424 with broken data", `<34>1 - - - - - [a x="1"`, parse.RFC5424, time.Time{}, fields{"facility": "auth", "message": `[a x="1"`}},
		{"json", `{"time":"2026-01-02T03:04:05Z","host":"h","user":"bob","src_ip":"::ffff:192.0.2.1","n":{"deep":[1,2.5,true,null]},"id":18446744073709551616,"message":"m"}`, parse.JSON, at("2026-01-02T03:04:05Z"), fields{"id": "18446744073709551616", "message": "m", "n": map[string]any{"deep": []any{int64(1), 2.5, true, nil}}}},
		{"json repeated member", `{"a":1,"a":"x"}`, parse.JSON, time.Time{}, fields{"a": []any{int64(1), "x"}}},
		{"json with epoch", `{"ts":1767322800123,"msg":"m"}`, parse.JSON, at("2026-01-02T03:00:00.123Z"), fields{"message": "m"}},
		{"incomplete json", `{"a":1`, parse.JSON, time.Time{}, fields{"message": `{"a":1`, "a": int64(1), "json_oddity": "incomplete"}},
		{"two json objects", `{"a":1}{"a":2}`, parse.JSON, time.Time{}, fields{"a": []any{int64(1), int64(2)}}},
		{"combined", `192.0.2.7 - bob [10/Oct/2026:13:55:36 +0200] "GET /a%2e%2e/b?q=1%27+or HTTP/1.1" 404 12 "http://r/" "curl/8 \"x\""`, parse.Access, at("2026-10-10T11:55:36Z"), fields{"c-ip": "192.0.2.7", "cs-username": "bob", "cs-method": "GET", "cs-uri": "/a%2e%2e/b?q=1%27+or", "cs-uri-stem": "/a%2e%2e/b", "cs-uri-query": "q=1%27+or", "cs-uri-decoded": "/a../b?q=1' or", "sc-status": int64(404), "sc-bytes": int64(12), "cs-referer": "http://r/", "c-useragent": `curl/8 "x"`, "cs-user-agent": `curl/8 "x"`}},
		{"common over ipv6", `2001:db8::1 - - [10/Oct/2026:13:55:36 +0000] "-" 408 -`, parse.Access, at("2026-10-10T13:55:36Z"), fields{"c-ip": "2001:db8::1", "cs-username": nil, "cs-uri": nil, "sc-status": int64(408), "sc-bytes": nil}},
		{"virtual host", `www.example.org:443 192.0.2.7 - - [10/Oct/2026:13:55:36 +0000] "GET / HTTP/1.1" 200 5 "-" "-"`, parse.Access, at("2026-10-10T13:55:36Z"), fields{"cs-host": "www.example.org:443", "c-ip": "192.0.2.7", "cs-referer": nil, "c-useragent": nil}},
		{"tls to a web port", `192.0.2.7 - - [10/Oct/2026:13:55:36 +0000] "\x16\x03\x01" 400 5 "-" "-"`, parse.Access, at("2026-10-10T13:55:36Z"), fields{"cs-method": nil, "cs-uri": "\x16\x03\x01"}},
		{"a user with blanks and brackets", `192.0.2.7 - a b [10/Oct/2020:13:55:36 +0000] \x22GET / [10/Oct/2026:13:55:36 +0000] "GET /real HTTP/1.1" 200 5`, parse.Access, at("2026-10-10T13:55:36Z"), fields{"cs-uri": "/real", "c-ip": "192.0.2.7"}},
		{"nginx over syslog", `<190>Nov 13 01:02:03 web1 nginx: 192.0.2.7 - - [13/Nov/2026:01:02:02 +0000] "GET /x HTTP/1.1" 200 5 "-" "-"`, parse.RFC3164, at("2026-11-13T01:02:02Z"), fields{"cs-uri": "/x", "process": "nginx"}},
		{"apache error 2.2", `[Sun Dec 04 04:51:08 2005] [error] [client 192.0.2.9] Directory index forbidden`, parse.ApacheError, at("2005-12-04T04:51:08Z"), fields{"level": "error", "src_ip": "192.0.2.9", "message": "[client 192.0.2.9] Directory index forbidden"}},
		{"apache error 2.4", `[Sun Dec 04 04:51:08.123456 2005] [core:error] [pid 12:tid 9] [client 192.0.2.9:81] AH1: x`, parse.ApacheError, at("2005-12-04T04:51:08.123456Z"), fields{"level": "error", "module": "core", "pid": int64(12), "src_ip": "192.0.2.9", "src_port": int64(81)}},
		{"apache error: the server writes the first client", `[Sun Dec 04 04:51:08 2005] [php:notice] [pid 12] [client 192.0.2.9:81] [client 198.51.100.1:9] [pid 7] hello`, parse.ApacheError, at("2005-12-04T04:51:08Z"), fields{"pid": int64(12), "src_ip": "192.0.2.9", "src_port": int64(81), "message": "[client 192.0.2.9:81] [client 198.51.100.1:9] [pid 7] hello"}},
		{"words", "just some words", parse.Plain, time.Time{}, fields{"message": "just some words", "raw": "just some words", "process": nil}},
		{"not utf-8", "just \x81 words\r\n", parse.Plain, time.Time{}, fields{"message": "just \uFFFD words"}},
		{"nothing", "", parse.Plain, time.Time{}, fields{"message": ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ev := read(c.line)
			require.Equal(t, c.format, ev.Format)
			require.True(t, c.time.Equal(ev.Time), "time is %s", ev.Time)
			requireFields(t, c.want, ev)
		})
	}
}

func TestMissingYearIsTheNewestBeforeTomorrow(t *testing.T) {
	t.Parallel()
	p := parse.New(parse.Options{Location: time.UTC})
	for _, c := range []struct {
		name, stamp string
		now         time.Time
		year        int
	}{
		{"same day", "Nov 23 08:59:59", now, 2026},
		{"a clock that is fast", "Nov 23 20:00:00", now, 2026},
		{"later this year is last year", "Dec 10 06:55:46", now, 2025},
		{"read after new year", "Dec 31 23:59:59", time.Date(2027, 1, 1, 0, 0, 5, 0, time.UTC), 2026},
		{"written just after, clock fast", "Jan  1 00:00:01", time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC), 2027},
		{"leap day", "Feb 29 12:00:00", now, 2024},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ev := p.Parse([]byte(c.stamp+" h p: m"), c.now, parse.Input{})
			require.Equal(t, c.year, ev.Time.Year())
		})
	}
	require.Equal(t, parse.Plain, p.Parse([]byte("Feb 30 12:00:00 h p: m"), now, parse.Input{}).Format)
}

func TestProgramMessagesAreParsed(t *testing.T) {
	t.Parallel()
	const head = "Nov 20 01:02:03 web1 "
	for _, c := range []struct {
		line    string
		service string
		want    fields
	}{
		{"sshd[1]: Failed password for root from 192.0.2.1 port 38926 ssh2", "sshd", fields{"action": "login_failed", "auth_method": "password", "user": "root", "src_ip": "192.0.2.1", "src_port": int64(38926), "invalid_user": nil}},
		{"sshd[1]: Failed password for invalid user bob from 2001:db8::1 port 1 ssh2", "sshd", fields{"action": "login_failed", "user": "bob", "src_ip": "2001:db8::1", "invalid_user": true}},
		{"sshd[1]: Failed none for invalid user  0 from 192.0.2.1 port 1 ssh2", "sshd", fields{"user": " 0", "auth_method": "none"}},
		{"sshd[1]: message repeated 2 times: [ Failed password for root from 192.0.2.1 port 38926 ssh2]", "sshd", fields{"action": "login_failed", "repeated": int64(2), "src_ip": "192.0.2.1"}},
		{"sshd-session[1]: Accepted publickey for bob from 192.0.2.1 port 2 ssh2: ED25519 SHA256:abc", "sshd", fields{"action": "login_success", "auth_method": "publickey", "user": "bob", "src_ip": "192.0.2.1"}},
		{"sshd[1]: Accepted password for bob from 192.0.2.1 port 2 ssh2", "sshd", fields{"action": "login_success", "auth_method": "password"}},
		{"sshd[1]: Accepted publickey for bob from 192.0.2.1 port 2 ssh2: RSA-CERT ID bob@corp (serial 4) CA RSA SHA256:abc", "sshd", fields{"action": "login_success", "user": "bob", "src_ip": "192.0.2.1"}},
		{"sshd[1]: Invalid user bob from 192.0.2.1", "sshd", fields{"action": "invalid_user", "user": "bob", "src_ip": "192.0.2.1", "src_port": nil}},
		{"sshd[1]: Invalid user bob from 192.0.2.1 port 77", "sshd", fields{"action": "invalid_user", "src_port": int64(77)}},
		{"sshd[1]: Invalid user  from 192.0.2.1 port 77", "sshd", fields{"action": "invalid_user", "user": nil, "src_ip": "192.0.2.1"}},
		{"sshd[1]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1  user=root", "sshd", fields{"action": "login_failed", "auth_method": "pam", "user": "root", "src_ip": "192.0.2.1"}},
		{"sshd(pam_unix)[1]: authentication failure; logname= uid=0 euid=0 tty=NODEVssh ruser= rhost=host.example.org ", "sshd", fields{"action": "login_failed", "src_host": "host.example.org", "src_ip": nil, "user": nil}},
		{"sshd[1]: PAM 5 more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1  user=root", "sshd", fields{"action": "login_failed", "auth_method": "pam", "src_ip": "192.0.2.1"}},
		{"sshd[1]: error: maximum authentication attempts exceeded for invalid user bob from 192.0.2.1 port 7 ssh2 [preauth]", "sshd", fields{"action": "login_failed", "user": "bob", "src_ip": "192.0.2.1"}},
		{"sshd[1]: User bob from 192.0.2.1 not allowed because not listed in AllowUsers", "sshd", fields{"action": "login_failed", "user": "bob", "src_ip": "192.0.2.1"}},
		{"sshd[1]: Connection closed by 192.0.2.1 [preauth]", "sshd", fields{"action": "connection_closed", "src_ip": "192.0.2.1", "user": nil}},
		{"sshd[1]: Connection closed by invalid user bob 192.0.2.1 port 9 [preauth]", "sshd", fields{"action": "connection_closed", "src_ip": "192.0.2.1", "src_port": int64(9), "user": "bob"}},
		{"sshd[1]: Disconnected from authenticating user root 192.0.2.1 port 9 [preauth]", "sshd", fields{"action": "connection_closed", "user": "root"}},
		{"sshd[1]: Received disconnect from 192.0.2.1: 11: Bye Bye [preauth]", "sshd", fields{"action": "connection_closed", "src_ip": "192.0.2.1"}},
		{"sshd[1]: Received disconnect from 192.0.2.1 port 5:11: Bye Bye [preauth]", "sshd", fields{"action": "connection_closed", "src_ip": "192.0.2.1", "src_port": int64(5)}},
		{"sshd[1]: Did not receive identification string from 192.0.2.1", "sshd", fields{"action": "connection_closed", "src_ip": "192.0.2.1"}},
		{"sshd[1]: pam_unix(sshd:session): session opened for user bob by (uid=0)", "sshd", fields{"action": "session_opened", "user": "bob"}},
		{"sshd[1]: Server listening on 0.0.0.0 port 22.", "sshd", fields{"action": "listening", "src_ip": nil}},
		{"sudo:    alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/bin/cat /etc/shadow ; x", "sudo", fields{"action": "command", "user": "alice", "target_user": "root", "tty": "pts/0", "pwd": "/home/alice", "command": "/bin/cat /etc/shadow ; x"}},
		{"sudo:    alice : TTY=pts/0 ; PWD=/ ; USER=root ; GROUP=adm ; TSID=00 ; COMMAND=/bin/ls", "sudo", fields{"action": "command", "group": "adm", "command": "/bin/ls"}},
		{"sudo:    alice : user NOT in sudoers ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/ls", "sudo", fields{"action": "not_allowed", "user": "alice", "tty": "pts/0", "command": "/bin/ls"}},
		{"sudo:    alice : command not allowed ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/ls", "sudo", fields{"action": "not_allowed"}},
		{"sudo:    alice : 3 incorrect password attempts ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/ls", "sudo", fields{"action": "auth_failed", "target_user": "root"}},
		{"sudo: pam_unix(sudo:auth): authentication failure; logname=alice uid=1000 euid=0 tty=/dev/pts/0 ruser=alice rhost=  user=alice", "sudo", fields{"action": "auth_failed", "user": "alice", "src_ip": nil}},
		{"su[1]: FAILED SU (to root) alice on pts/0", "auth", fields{"action": "su_failed", "user": "alice", "target_user": "root", "tty": "pts/0"}},
		{"su[1]: (to root) alice on pts/0", "auth", fields{"action": "su_success", "user": "alice", "target_user": "root"}},
		{"su[1]: Successful su for root by alice", "auth", fields{"action": "su_success", "user": "alice", "target_user": "root"}},
		{"su(pam_unix)[1]: session opened for user news by (uid=0)", "auth", fields{"action": "session_opened", "user": "news"}},
		{"su: pam_unix(su:auth): authentication failure; logname=alice uid=1000 euid=0 tty=pts/0 ruser=alice rhost=  user=root", "auth", fields{"action": "login_failed", "user": "alice", "target_user": "root"}},
		{"useradd[1]: new user: name=bob, UID=0, GID=1001, home=/home/bob, shell=/bin/bash, from=none", "auth", fields{"action": "user_added", "user": "bob", "uid": "0", "shell": "/bin/bash"}},
		{"useradd[1]: new group: name=bob, GID=1001", "auth", fields{"action": "group_added", "group": "bob", "user": nil}},
		{"groupadd[1]: group added to /etc/group: name=dev, GID=1002", "auth", fields{"action": "group_added", "group": "dev"}},
		{"usermod[1]: add 'bob' to group 'sudo'", "auth", fields{"action": "group_member_added", "user": "bob", "group": "sudo"}},
		{"usermod[1]: add 'bob' to shadow group 'sudo'", "auth", fields{"action": "group_member_added", "group": "sudo"}},
		{"gpasswd[1]: user bob added by root to group wheel", "auth", fields{"action": "group_member_added", "user": "bob", "group": "wheel"}},
		{"usermod[1]: change user 'bob' shell from '/bin/sh' to '/bin/bash'", "auth", fields{"action": "user_modified", "user": "bob"}},
		{"usermod[1]: change user 'bob' password", "auth", fields{"action": "password_changed", "user": "bob"}},
		{"passwd[1]: pam_unix(passwd:chauthtok): password changed for bob", "auth", fields{"action": "password_changed", "user": "bob"}},
		{"passwd[1]: password for 'bob' changed by 'root'", "auth", fields{"action": "password_changed", "user": "bob"}},
		{"userdel[1]: delete user 'bob'", "auth", fields{"action": "user_deleted", "user": "bob"}},
		{"CRON[1]: (root) CMD (   cd / && run-parts (x))", "cron", fields{"action": "command", "user": "root", "command": "   cd / && run-parts (x)"}},
		{"cron[1]: (*system*) RELOAD (/etc/crontab)", "cron", fields{"action": "reload", "user": "*system*", "path": "/etc/crontab"}},
		{"crontab[1]: (bob) REPLACE (bob)", "cron", fields{"action": "edited", "user": "bob"}},
		{"crontab[1]: (bob) LIST (bob)", "cron", fields{"action": "listed"}},
		{"systemd[1]: Started nginx.service - A web server.", "systemd", fields{"action": "started", "unit": "nginx.service"}},
		{"systemd[1]: Stopped A web server.", "systemd", fields{"action": "stopped", "unit": "A web server"}},
		{"systemd[1]: Reloaded nginx.service - A web server.", "systemd", fields{"action": "reloaded"}},
		{"systemd[1]: Failed to start nginx.service - A web server.", "systemd", fields{"action": "failed", "unit": "nginx.service"}},
		{"systemd[1]: nginx.service: Failed with result 'exit-code'.", "systemd", fields{"action": "failed", "unit": "nginx.service"}},
		{"kernel: [  1.2] something", "syslog", fields{"action": nil}},
	} {
		t.Run(c.line, func(t *testing.T) {
			t.Parallel()
			ev := read(head + c.line)
			require.Equal(t, sigma.Logsource{Product: "linux", Service: c.service}, ev.Logsource)
			requireFields(t, c.want, ev)
		})
	}
}

// A user name, certificate id or disconnect text chosen by the client must not
// choose the address that may be blocked.
func TestClientCannotForgeTheSource(t *testing.T) {
	t.Parallel()
	const real, forged = "198.51.100.9", "192.0.2.1"
	name := "x from " + forged + " port 22 ssh2"
	for _, message := range []string{
		"Failed password for invalid user " + name + " from " + real + " port 5 ssh2",
		"Failed password for invalid user " + name + ": RSA SHA256:abc from " + real + " port 5 ssh2",
		"Failed publickey for invalid user " + name + " from " + real + " port 5 ssh2: RSA SHA256:abc",
		"Failed publickey for root from " + real + " port 5 ssh2: RSA-CERT ID " + name + " (serial 1) CA RSA SHA256:abc",
		"Failed publickey for root from " + real + " port 5 ssh2: RSA-CERT ID " + name + ": RSA ID y (serial 1) CA RSA SHA256:abc",
		"Failed publickey for root from " + real + " port 5 ssh2: RSA-CERT ID " + name + ": RSA SHA256:y (serial 1) CA RSA SHA256:abc",
		"Invalid user " + name + " from " + real + " port 5",
		"Invalid user x from " + forged + " port 22 from " + real + " port 5",
		"Invalid user " + name + " from " + real,
		"error: maximum authentication attempts exceeded for " + name + " from " + real + " port 5 ssh2 [preauth]",
		"User " + name + " from " + real + " not allowed because not listed in AllowUsers",
		"User x from " + forged + " not allowed because y from " + real + " not allowed because not listed in AllowUsers",
		"Connection closed by invalid user x " + forged + " port 22 " + real + " port 5 [preauth]",
		"Received disconnect from " + real + ": 11: from " + forged + " port 22 ssh2 [preauth]",
		"pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=" + real + "  user=x rhost=" + forged,
		"pam_unix(vsftpd:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser=x rhost=" + forged + " rhost=" + real + "  user=x",
		"pam_unix(vsftpd:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser=x ruser= rhost=" + forged + " rhost=" + real,
		"error: PAM: Authentication failure for illegal user " + name + " from " + real,
		"error: PAM: Authentication failure for x from " + forged + " from " + real,
		"Disconnecting invalid user x " + forged + " port 1: Too many authentication failures " + real + " port 5: Too many authentication failures [preauth]",
		"Disconnecting invalid user x " + forged + " port 1: Change of username or service not allowed: (x " + real + " port 5: Change of username or service not allowed: (x,s) -> (y,s) [preauth]",
		"Disconnected from invalid user x " + forged + " port 22 " + real + " port 5 [preauth]",
		"Bad protocol version identification 'x' from " + forged + " port 1' from " + real + " port 5",
		"Protocol major versions differ for " + real + " port 5: SSH-2.0-OpenSSH_9.6 vs. SSH-1 for " + forged + " port 1: x vs. y",
		"Unable to negotiate with " + real + " port 5: no matching cipher found. Their offer: with " + forged + " port 1: x [preauth]",
		"reverse mapping checking getaddrinfo for x [" + forged + "] failed.host [" + real + "] failed - POSSIBLE BREAK-IN ATTEMPT!",
		"Nasty PTR record \"x\" is set up for " + forged + "\" is set up for " + real + ", ignoring",
		"scanned from " + real + " with x from " + forged + " port 1 with y.  Don't panic.",
		"Authentication tried for x with correct key but not from a permitted host (host=h, ip=" + forged + ") with correct key but not from a permitted host (host=h, ip=" + real + ").",
	} {
		t.Run(message, func(t *testing.T) {
			t.Parallel()
			ev := read("Nov 20 01:02:03 h sshd[1]: " + message)
			require.NotEmpty(t, ev.Fields.Map()["action"])
			if ev.SourceIP.IsValid() {
				require.Equal(t, real, ev.SourceIP.String())
				require.Equal(t, real, ev.Fields.Map()["src_ip"])
			}
		})
	}
}

func TestOnlyTheTagSelectsTheProgram(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"Nov 20 01:02:03 h evil[1]: Failed password for root from 192.0.2.1 port 5 ssh2",
		"Nov 20 01:02:03 h evil[1]: sshd[2]: Failed password for root from 192.0.2.1 port 5 ssh2",
		"<38>Nov 20 01:02:03 h evil sshd[2]: Failed password for root from 192.0.2.1 port 5 ssh2",
		"sshd[2]: Failed password for root from 192.0.2.1 port 5 ssh2",
		`{"process":"sshd","message":"Failed password for root from 192.0.2.1 port 5 ssh2"}`,
	} {
		ev := read(line)
		require.NotEqual(t, "sshd", ev.Logsource.Service, line)
		require.False(t, ev.SourceIP.IsValid(), line)
	}
}
