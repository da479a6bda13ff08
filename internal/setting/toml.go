package setting

import (
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// maxKey is characters of a key that is printed as it is.
const maxKey = 64

// Key returns the name of a key as it may be printed: a long one, or one with
// anything but letters, digits, - and _, is quoted.
func Key(name string) string {
	if len(name) > maxKey || strings.ContainsFunc(name, isOdd) {
		return Shown(name)
	}
	return name
}

func isOdd(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '-':
		return false
	}
	return true
}

// TOMLKind says what a value is, in the words of whoever wrote it: "is a list, must
// be a string".
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
