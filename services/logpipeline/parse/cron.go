package parse

import "strings"

// parseCron parses "(user) VERB (text)" of Vixie cron, cronie and crontab(1),
// and the messages of anacron, atd and BusyBox's crond, and of PAM for them.
func parseCron(ev *Event) {
	head, isCron := strings.CutPrefix(ev.Message, "(")
	user, rest, ok := strings.Cut(head, ") ")
	if !isCron || !ok {
		if !cronPhrases.parse(ev, ev.Message) {
			parsePAM(ev, ev.Message)
		}
		return
	}
	verb, arg, _ := strings.Cut(rest, " (")
	c, known := cronVerbs[verb]
	if !known {
		cronPhrases.parse(ev, rest) // run-parts
		return
	}
	ev.setAction(c.action)
	if c.field != "" {
		ev.set(c.field, strings.TrimSuffix(arg, ")"))
	}
	if user != "CRON" { // the daemon itself
		ev.setUser(user)
	}
}

// cronVerbs are the verbs of log_it, with the field that the text in brackets is.
var cronVerbs = map[string]struct{ action, field string }{
	"CMD":              {"command", "command"},
	"CMDEND":           {"command_ended", "command"},
	"CMDOUT":           {"command_output", "output"},
	"RELOAD":           {"reload", "path"},
	"REPLACE":          {"edited", ""},
	"DELETE":           {"edited", ""},
	"BEGIN EDIT":       {"edit_begun", ""},
	"END EDIT":         {"edit_ended", ""},
	"LIST":             {"listed", ""},
	"AUTH":             {"not_allowed", "reason"},
	"PAM ERROR":        {"not_allowed", "reason"},
	"ORPHAN":           {"error", "reason"},
	"FAILED":           {"error", "reason"},
	"DEATH":            {"error", "reason"},
	"WRONG FILE OWNER": {"bad_owner", "path"},
	"BAD FILE MODE":    {"bad_owner", "path"},
	"STARTUP":          {"started", ""},
	"INFO":             {"info", "reason"},
}

var cronPhrases = compile(
	form{"USER {user} pid {_} cmd {command*}", "command", ""}, // BusyBox
	form{"Job `{job*}' started", "job_started", ""},           // anacron
	form{"Job `{job*}' terminated[[ (mailing output)]]", "job_ended", ""},
	form{"Starting job {job} ({path}) for user '{user}' ({uid})", "command", ""}, // atd
	form{"starting {job*}", "job_started", ""},                                   // run-parts
	form{"finished {job*}", "job_ended", ""},
)
