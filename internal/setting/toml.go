package setting

import (
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// maxKey is the longest key, in bytes, that is printed without quotes.
const maxKey = 64

// Key returns the name of a key for a message. One that is long, or has characters other
// than letters, digits, - and _, is quoted.
func Key(name string) string {
	if len(name) > maxKey || strings.ContainsFunc(name, needsQuotes) {
		return Shown(name)
	}
	return name
}

func needsQuotes(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '-':
		return false
	}
	return true
}

// TOMLKind returns the kind of a value for a message to its author, as in "is a list,
// must be a string".
func TOMLKind(k unstable.Kind) string {
	switch k {
	case unstable.String:
		return "a string"
	case unstable.Bool:
		return "true or false"
	case unstable.Integer:
		return "a whole number"
	case unstable.Float:
		return "a fraction"
	case unstable.Array:
		return "a list"
	case unstable.InlineTable:
		return "a section"
	}
	return "a date or time"
}
