package parse

import (
	"strings"
	"time"
)

// parseMySQL parses the messages of MySQL and MariaDB about logins. The name is text of the client, so the rest is taken from the end.
func parseMySQL(ev *Event) {
	msg := ev.Message
	if open := strings.IndexByte(msg, '['); open > 0 && open < len("2026-11-29T20:00:00.123456+00:00 18446744073709551615 ") && isDigit(msg[0]) {
		msg = msg[open:] // a time and the number of a connection, behind a header of syslog
	}
	for strings.HasPrefix(msg, "[") { // [Note] [MY-010926] [Server]
		_, rest, ok := strings.Cut(msg, "] ")
		if !ok {
			return
		}
		msg = rest
	}
	mysqlPhrases.parse(ev, msg)
}

var mysqlPhrases = compile(
	form{"Access denied for user '{user*}'@'{src}' (using password: YES)", "login_failed", "auth_method=password"},
	form{"Access denied for user '{user*}'@'{src}' (using password: NO)", "login_failed", "auth_method=none"},
	form{"Access denied for user '{user*}'@'{src}'", "login_failed", ""},
	form{"Access denied for user '{user*}'@'{src}' to database '{database}'", "not_allowed", ""},
	form{"Host '{src}' is blocked because of many connection errors; unblock with '{_*}'", "connection_refused", ""},
	form{"Host '{src}' is not allowed to connect to this MySQL server", "connection_refused", ""},
	form{"Host '{src}' is not allowed to connect to this MariaDB server", "connection_refused", ""},
	form{"IP address '{src}' could not be resolved: {reason*}", "name_mismatch", ""},
	form{"IP address '{src}' has been resolved to the host name '{host_name}', which resembles IPv4-address itself.", "name_mismatch", ""},
)

// parseMySQLFile parses a line of the error log: "2026-11-29T20:00:00.123456Z 10 [Note] …", of MariaDB "2026-11-29 20:00:00 10 [Warning] …".
func parseMySQLFile(ev *Event, line string) bool {
	at, rest, ok := ev.settings.cutTimestamp(line)
	if !ok {
		return false
	}
	rest = strings.TrimLeft(rest, " ")
	_, after, hasNumber := cutNumber(rest, 1, 19)
	if hasNumber {
		rest = strings.TrimLeft(after, " ")
	}
	level, message, ok := strings.Cut(rest, "] ")
	if !ok || !mysqlLevels[level] || !hasNumber && !strings.HasPrefix(message, "Access denied for user '") {
		return false // other programs write levels in brackets, too
	}
	ev.Time, ev.Message = at.at, rest
	ev.set("level", strings.ToLower(level[1:]))
	ev.setProgram("mysqld", "mysql")
	parseMySQL(ev)
	return true
}

var mysqlLevels = map[string]bool{"[Note": true, "[Warning": true, "[ERROR": true, "[System": true, "[Error": true}

// parsePostgres parses the messages of PostgreSQL about logins, behind a prefix that the administrator chooses and that can have the name
// of the user, as the message can. If the text seems to have two levels, a client may have written one, and nothing is taken.
func parsePostgres(ev *Event) {
	msg := ev.Message
	at, level := -1, ""
	for _, l := range [...]string{"FATAL:  ", "LOG:  ", "ERROR:  ", "DETAIL:  "} {
		if n := strings.Count(msg, l); n > 0 {
			if at >= 0 || n > 1 {
				return
			}
			at, level = strings.Index(msg, l), l
		}
	}
	if at < 0 {
		return
	}
	ev.set("level", strings.ToLower(strings.TrimRight(level, ": ")))
	postgresPhrases.parse(ev, msg[at+len(level):])
}

var postgresPhrases = compile(
	form{"password authentication failed for user \"{user*}\"", "login_failed", "auth_method=password"},
	form{"Peer authentication failed for user \"{user*}\"", "login_failed", "auth_method=peer"},
	form{"Ident authentication failed for user \"{user*}\"", "login_failed", "auth_method=ident"},
	form{"LDAP authentication failed for user \"{user*}\"", "login_failed", "auth_method=ldap"},
	form{"PAM authentication failed for user \"{user*}\"", "login_failed", "auth_method=pam"},
	form{"certificate authentication failed for user \"{user*}\"", "login_failed", "auth_method=certificate"},
	form{"role \"{user*}\" does not exist", "login_failed", "invalid_user"},
	form{"role \"{user*}\" is not permitted to log in", "login_failed", ""},
	form{"no pg_hba.conf entry for host \"{src}\", user \"{user*}\", database \"{database}\"[[, SSL off]]", "login_failed", ""},
	form{"no pg_hba.conf entry for host \"{src}\", user \"{user*}\", database \"{database}\", no encryption", "login_failed", ""},
	form{"no pg_hba.conf entry for host \"{src}\", user \"{user*}\", database \"{database}\", SSL encryption", "login_failed", ""},
	form{"no pg_hba.conf entry for host \"{src}\", {reason*}", "login_failed", ""},
	form{"pg_hba.conf rejects connection for host \"{src}\", {reason*}", "login_failed", ""},
	form{"connection received: host={src} port={port}", "connection_opened", ""},
	form{"connection received: host={src}", "connection_opened", ""},
	form{"connection authorized: user={user} {_*}", "login_success", ""},
	form{"disconnection: session time: {_} user={user} database={database} host={src} port={port}", "connection_closed", ""},
)

// parsePostgresFile parses a line of a file of PostgreSQL with the prefix of Debian, "%m [%p] %q%u@%d ", or that of its default, "%m [%p] ".
func parsePostgresFile(ev *Event, line string) bool {
	at, rest, ok := ev.settings.cutTimestamp(line)
	if !ok {
		return false
	}
	if zone, after, ok := strings.Cut(strings.TrimLeft(rest, " "), " ["); ok && len(zone) <= 5 && !strings.Contains(zone, " ") {
		rest = after
	} else {
		rest = strings.TrimPrefix(strings.TrimLeft(rest, " "), "[")
	}
	pid, message, ok := cutNumber(rest, 1, 9)
	message, closed := strings.CutPrefix(message, "] ")
	if !ok || !closed || !hasPostgresLevel(message) {
		return false
	}
	ev.Time, ev.PID, ev.Message = at.at, int64(pid), message
	ev.setProgram("postgres", "postgresql")
	parsePostgres(ev)
	return true
}

func hasPostgresLevel(s string) bool {
	for _, level := range [...]string{"LOG:  ", "FATAL:  ", "ERROR:  ", "DETAIL:  ", "HINT:  ", "STATEMENT:  ", "WARNING:  ", "NOTICE:  ", "PANIC:  "} {
		if strings.Contains(s, level) {
			return true
		}
	}
	return false
}

// parseRedisFile parses a line of Redis or Valkey: "4711:M 29 Nov 2026 20:00:00.123 # message".
func parseRedisFile(ev *Event, line string) bool {
	pid, rest, ok := cutNumber(line, 1, 9)
	if !ok || len(rest) < 4 || rest[0] != ':' || !strings.ContainsRune("MSCX", rune(rest[1])) || rest[2] != ' ' {
		return false
	}
	const layout = "02 Jan 2006 15:04:05.000"
	if len(rest) < len(layout)+6 {
		return false
	}
	at, err := time.ParseInLocation(layout, rest[3:3+len(layout)], ev.settings.zone)
	if err != nil {
		return false
	}
	ev.Time, ev.PID, ev.Message = at, int64(pid), rest[3+len(layout)+3:]
	ev.setProgram("redis", "redis")
	parseRedis(ev)
	return true
}

func parseRedis(ev *Event) { redisPhrases.parse(ev, ev.Message) }

var redisPhrases = compile(
	form{"Possible SECURITY ATTACK detected. {_*} Connection from {address} aborted.", "protocol_error", ""},
	form{"Possible SECURITY ATTACK detected. {_*} Connection aborted.", "protocol_error", ""},
	form{"Accepted {address}", "connection_opened", ""},
)

// parseMongo adds the fields of a login to an object that mongod logs, {"c":"ACCESS","msg":"Authentication failed","attr":{…}}.
func parseMongo(ev *Event) bool {
	if ev.text("c") == "" || ev.text("ctx") == "" || ev.text("msg") == "" || !ev.has("attr") {
		return false
	}
	ev.setProgram("mongod", "mongodb")
	if at, err := time.Parse(time.RFC3339, ev.text("t.$date")); err == nil {
		ev.Time = at
	}
	switch ev.text("msg") {
	case "Authentication failed", "Failed to authenticate":
		ev.setAction("login_failed")
	case "Authentication succeeded", "Successfully authenticated":
		ev.setAction("login_success")
	default:
		return true
	}
	ev.setUser(ev.text("attr.principalName", "attr.user"))
	ev.set("auth_method", ev.text("attr.mechanism"))
	if at := ev.text("attr.remote", "attr.client"); at != "" {
		ev.setAddress(at)
	}
	return true
}
