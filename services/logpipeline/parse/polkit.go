package parse

import "strings"

// parsePolkit parses the messages of polkitd.
func parsePolkit(ev *Event) {
	if !polkitPhrases.parse(ev, ev.Message) {
		parsePAM(ev, ev.Message)
	}
}

var polkitPhrases = compile(
	form{"Operator of {_} successfully authenticated as unix-user:{target_user} to gain {_} authorization for action {polkit_action} for {subject*} (owned by unix-user:{user})", "auth_success", ""},
	form{"Operator of {_} FAILED to authenticate to gain authorization for action {polkit_action} for {subject*} (owned by unix-user:{user})", "auth_failed", ""},
	form{"Registered Authentication Agent for {subject*}", "agent_registered", ""},
	form{"Unregistered Authentication Agent for {subject*}", "agent_unregistered", ""},
)

// parsePkexec parses
//
//	alice: Executing command [USER=root] [TTY=unknown] [CWD=/home/alice] [COMMAND=/usr/bin/id]
//	alice: Error executing command as another user: Not authorized [USER=root] …
//
// The folder and the command are chosen by the user: the rest of a folder that is named like a command is part of the command.
func parsePkexec(ev *Event) {
	user, rest, ok := strings.Cut(ev.Message, ": ")
	what, rest, found := strings.Cut(rest, " [USER=")
	if !ok || !found || strings.Contains(user, "(") {
		parsePAM(ev, ev.Message)
		return
	}
	ev.setUser(user)
	if what == "Executing command" {
		ev.setAction("command")
	} else {
		ev.setAction("not_allowed")
		ev.set("reason", what)
	}
	target, rest, _ := strings.Cut(rest, "] [TTY=")
	tty, rest, _ := strings.Cut(rest, "] [CWD=")
	pwd, command, _ := strings.Cut(rest, "] [COMMAND=")
	ev.set("target_user", target)
	ev.set("tty", tty)
	ev.set("pwd", pwd)
	ev.set("command", strings.TrimSuffix(command, "]"))
}
