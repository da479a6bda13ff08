package parse

import (
	"strings"
	"time"

	"github.com/ironpost/ironpost/sigma"
)

// parsePHP parses the logs of PHP-FPM and of PHP itself:
//
//	[29-Nov-2026 20:00:00] WARNING: [pool www] child 7 said into stderr: "…"
//	[29-Nov-2026 20:00:00 Europe/Berlin] PHP Fatal error:  Uncaught … in /srv/a.php:3
func parsePHP(ev *Event, line string) bool {
	stamp, rest, ok := cutBracket(line)
	if !ok || len(stamp) < len("29-Nov-2026 20:00:00") || stamp[2] != '-' {
		return false
	}
	stamp, zone, named := strings.Cut(stamp[len("29-Nov-2026 "):], " ")
	location := ev.settings.zone
	if named {
		var err error
		if location, err = time.LoadLocation(zone); err != nil || zone == "Local" {
			location = ev.settings.zone
		}
	}
	at, err := time.ParseInLocation("02-Jan-2006 15:04:05", line[1:len("[29-Nov-2026 ")]+stamp, location)
	if err != nil {
		return false
	}
	ev.Time = at
	ev.Logsource = sigma.Logsource{Category: "application", Product: "php"}
	ev.Message = rest
	level, message, ok := strings.Cut(rest, ": ")
	if level, _ = strings.CutPrefix(level, "PHP "); ok && len(level) < 32 {
		ev.set("level", strings.ToLower(level))
	}
	if pool, _, ok := cutBracket(message); ok && strings.HasPrefix(pool, "pool ") {
		ev.set("pool", pool[len("pool "):])
	}
	return true
}
