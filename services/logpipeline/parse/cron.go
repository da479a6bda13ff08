package parse

import "strings"

// cron reads "(user) VERB (text)" of Vixie cron, cronie and crontab(1).
func cron(ev *Event) {
	user, rest, ok := strings.Cut(strings.TrimPrefix(ev.Message, "("), ") ")
	if !ok || !strings.HasPrefix(ev.Message, "(") {
		if pamSession(ev, ev.Message) {
			return
		}
		return
	}
	verb, arg, _ := strings.Cut(rest, " (")
	switch verb {
	case "CMD":
		ev.action("command")
		ev.set("command", strings.TrimSuffix(arg, ")"))
	case "RELOAD":
		ev.action("reload")
		ev.set("path", strings.TrimSuffix(arg, ")"))
	case "REPLACE", "DELETE":
		ev.action("edited")
	default:
		return
	}
	ev.user(user)
}

// systemd reads what the manager says of units: "Started nginx.service - A web
// server.", the older "Started A web server.", and "nginx.service: Failed with
// result 'exit-code'.".
func systemd(ev *Event) {
	for _, form := range [...]struct{ head, action string }{
		{"Started ", "started"},
		{"Stopped ", "stopped"},
		{"Reloaded ", "reloaded"},
		{"Failed to start ", "failed"},
		{"Finished ", "finished"},
	} {
		if rest, ok := strings.CutPrefix(ev.Message, form.head); ok {
			ev.action(form.action)
			unit, _, _ := strings.Cut(rest, " - ")
			ev.set("unit", strings.TrimSuffix(unit, "."))
			return
		}
	}
	unit, rest, ok := strings.Cut(ev.Message, ": ")
	if !ok || !isUnit(unit) {
		return
	}
	ev.set("unit", unit)
	if strings.HasPrefix(rest, "Failed with result") {
		ev.action("failed")
	}
}

func isUnit(s string) bool {
	return !strings.Contains(s, " ") && strings.Contains(s, ".")
}
