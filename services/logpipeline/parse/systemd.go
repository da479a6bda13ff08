package parse

import "strings"

// parseSystemd parses the messages of the service manager about units:
//
//	Started nginx.service - A web server.
//	Started A web server.                            (older)
//	nginx.service: Failed with result 'exit-code'.
func parseSystemd(ev *Event) {
	for _, form := range [...]struct{ head, action string }{
		{"Started ", "started"},
		{"Starting ", "starting"},
		{"Stopped ", "stopped"},
		{"Stopping ", "stopping"},
		{"Reloaded ", "reloaded"},
		{"Reloading ", "reloading"},
		{"Failed to start ", "failed"},
		{"Dependency failed for ", "failed"},
		{"Finished ", "finished"},
		{"Mounted ", "mounted"},
		{"Unmounted ", "unmounted"},
		{"Listening on ", "listening"},
	} {
		if rest, ok := strings.CutPrefix(ev.Message, form.head); ok {
			ev.setAction(form.action)
			unit, _, _ := strings.Cut(rest, " - ")
			ev.set("unit", strings.TrimRight(unit, "."))
			return
		}
	}
	unit, rest, ok := strings.Cut(ev.Message, ": ")
	if !ok || strings.Contains(unit, " ") || !strings.Contains(unit, ".") {
		parsePAM(ev, ev.Message)
		return
	}
	ev.set("unit", unit)
	unitPhrases.parse(ev, rest)
}

var unitPhrases = compile(
	form{"Failed with result '{reason}'.", "failed", ""},
	form{"Main process exited, code={_}, status={exit_code*}", "exited", ""},
	form{"Start request repeated too quickly.", "start_limit", ""},
	form{"Scheduled restart job, restart counter is at {_}.", "restarting", ""},
	form{"Deactivated successfully.", "deactivated", ""},
	form{"Succeeded.", "deactivated", ""},
	form{"A process of this unit has been killed by the OOM killer.", "oom_killed", ""},
)

// parseLogind parses the messages of systemd-logind about sessions.
func parseLogind(ev *Event) { logindPhrases.parse(ev, ev.Message) }

var logindPhrases = compile(
	form{"New session '{session_id}' of user '{user}' with class '{_}' and type '{session_type}'.", "session_opened", ""}, // since 258
	form{"New session {session_id} of user {user}.", "session_opened", ""},
	form{"Removed session {session_id}.", "session_closed", ""},
	form{"Session {session_id} logged out. Waiting for processes to exit.", "session_closing", ""},
	form{"Failed to start session scope {_}: {reason*}", "session_failed", ""},
	form{"System is rebooting[[ ({reason})]].", "shutdown", ""},
	form{"System is powering down[[ ({reason})]].", "shutdown", ""},
	form{"The system will reboot now!", "shutdown", ""},
	form{"The system will power off now!", "shutdown", ""},
)
