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
		{"Stopped ", "stopped"},
		{"Reloaded ", "reloaded"},
		{"Failed to start ", "failed"},
		{"Finished ", "finished"},
	} {
		if rest, ok := strings.CutPrefix(ev.Message, form.head); ok {
			ev.setAction(form.action)
			unit, _, _ := strings.Cut(rest, " - ")
			ev.set("unit", strings.TrimSuffix(unit, "."))
			return
		}
	}
	if parsePAM(ev, ev.Message) {
		return
	}
	unit, rest, ok := strings.Cut(ev.Message, ": ")
	if !ok || strings.Contains(unit, " ") || !strings.Contains(unit, ".") {
		return
	}
	ev.set("unit", unit)
	if strings.HasPrefix(rest, "Failed with result") {
		ev.setAction("failed")
	}
}
