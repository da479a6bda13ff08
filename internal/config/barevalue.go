package config

import (
	"regexp"
	"strings"

	"github.com/ironpost/ironpost/internal/setting"
)

var (
	// assignment matches a line that sets a plain key to a value without quotes, as other formats allow it.
	assignment = regexp.MustCompile(`^\s*([A-Za-z0-9_-]+)\s*=\s*([^"'\[{#\s][^#]*)`)
	// quantity matches a number with a unit, such as 30s.
	quantity = regexp.MustCompile(`^([0-9][0-9_]*)\s*[A-Za-z%]+$`)
)

// bareValue returns where the value of a line is, and what to write instead, if the line sets a known key to a value that lacks
// its quotes or brackets, or has a unit; what is empty if the line is anything else.
func (d *document) bareValue(line int) (at Position, what string) {
	begin, end := d.starts[line-1], len(d.data)
	if line < len(d.starts) {
		end = d.starts[line]
	}
	text := d.data[begin:end]
	m := assignment.FindSubmatchIndex(text)
	if m == nil {
		return Position{}, ""
	}
	what = d.whatToWrite(string(text[m[2]:m[3]]), strings.TrimSpace(string(text[m[4]:m[5]])))
	return d.position(begin + m[4]), what
}

// whatToWrite does not repeat a secret.
func (d *document) whatToWrite(key, value string) string {
	f, known := d.schema.lookup(join(d.section, key))
	switch {
	case !known:
		return ""
	case f.kind == kindInt && quantity.MatchString(value):
		return "a number has no unit: " + key + " is " + f.allowed() + ", write " + key + " = " + quantity.FindStringSubmatch(value)[1]
	case f.kind == kindInt || f.kind == kindBool:
		return setting.Shown(value) + " is not allowed, " + key + " must be " + f.allowed()
	case strings.ContainsAny(value, `"'`):
		return ""
	case f.secret:
		value = "…"
	}
	if f.kind == kindList {
		return "strings need quotes, and a list brackets: " + key + " = [" + setting.Shown(value) + "]"
	}
	return "strings need quotes: " + key + " = " + setting.Shown(value)
}

// units are the endings of keys that are numbers, and what is counted.
var units = []struct{ ending, name string }{
	{"_secs", "seconds"}, {"_hours", "hours"}, {"_days", "days"}, {"_mb", "megabytes"}, {"_bytes", "bytes"}, {"_percent", "percent"},
}

// allowed returns what the value must be: "a whole number of seconds".
func (f field) allowed() string {
	for _, unit := range units {
		if f.kind == kindInt && strings.HasSuffix(f.key, unit.ending) {
			return f.kind.String() + " of " + unit.name
		}
	}
	return f.kind.String()
}
