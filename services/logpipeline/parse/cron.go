package parse

import "strings"

// parseCron parses "(user) VERB (text)" of Vixie cron, cronie and crontab(1), and
// PAM sessions of cron.
func parseCron(ev *Event) {
	head, isCron := strings.CutPrefix(ev.Message, "(")
	user, rest, ok := strings.Cut(head, ") ")
	if !isCron || !ok {
		parsePAM(ev, ev.Message)
		return
	}
	verb, arg, _ := strings.Cut(rest, " (")
	switch verb {
	case "CMD":
		ev.setAction("command")
		ev.set("command", strings.TrimSuffix(arg, ")"))
	case "RELOAD":
		ev.setAction("reload")
		ev.set("path", strings.TrimSuffix(arg, ")"))
	case "REPLACE", "DELETE":
		ev.setAction("edited")
	default:
		return
	}
	ev.setUser(user)
}
