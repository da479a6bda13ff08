package setting

import (
	"cmp"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// maxShown bounds how much of a bad value a problem repeats.
const maxShown = 80

// OneOf returns "" when value is one of allowed, else a sentence that lists them.
func OneOf(value string, allowed ...string) string {
	if slices.Contains(allowed, value) {
		return ""
	}
	return Shown(value) + " is not allowed, must be one of " + strings.Join(allowed, ", ")
}

// Between returns "" when low <= value <= high, else a sentence with both bounds.
func Between[N cmp.Ordered](value, low, high N) string {
	if low <= value && value <= high {
		return ""
	}
	return fmt.Sprintf("%v is out of range, must be %v to %v", value, low, high)
}

// NotEmpty returns "" unless value is empty or only spaces.
func NotEmpty(value string) string {
	if strings.TrimSpace(value) == "" {
		return "must not be empty"
	}
	return ""
}

// Path returns "" when value is an absolute path without NUL and without "..", else the mistake.
func Path(value string) string {
	switch {
	case value == "":
		return "must not be empty, must be an absolute path"
	case strings.ContainsRune(value, 0):
		return "a path must not contain a NUL character"
	case !filepath.IsAbs(value) && !strings.HasPrefix(value, "/"):
		return Shown(value) + " is a relative path, must be absolute"
	case hasParent(value):
		return Shown(value) + ` must not contain ".."`
	}
	return ""
}

// OptionalPath is Path, but an empty value is allowed.
func OptionalPath(value string) string {
	if value == "" {
		return ""
	}
	return Path(value)
}

// Glob returns "" when value is an absolute path or shell pattern as filepath.Match reads it, else the mistake.
func Glob(value string) string {
	if what := Path(value); what != "" {
		return what
	}
	if _, err := filepath.Match(value, ""); err != nil {
		return Shown(value) + " is not a valid pattern: a [ without ] or a \\ at the end"
	}
	return ""
}

// Socket returns "" when value is an absolute path or tcp://address:port, else the mistake.
func Socket(value string) string {
	if address, ok := strings.CutPrefix(value, "tcp://"); ok {
		return HostPort(address)
	}
	return Path(value)
}

// HostPort returns "" when value is "address:port" with a numeric port 1-65535, else the mistake. An IPv6 address stands in brackets.
// The host may be empty (every address) or a name.
func HostPort(value string) string {
	const allowed = ", must be address:port such as 127.0.0.1:5514 or [::1]:5514"
	host, port, err := net.SplitHostPort(value)
	if err != nil {
		return Shown(value) + " is not an address with a port" + allowed
	}
	if strings.ContainsAny(host, " \t\r\n/") {
		return Shown(value) + " has no valid address" + allowed
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return Shown(value) + " has no port from 1 to 65535" + allowed
	}
	return ""
}

// OptionalHostPort is HostPort, but an empty value is allowed.
func OptionalHostPort(value string) string {
	if value == "" {
		return ""
	}
	return HostPort(value)
}

// Shown quotes a value for a message: control characters are escaped, and it is cut after 80 characters.
func Shown(value string) string {
	runes := []rune(value)
	if len(runes) > maxShown {
		return strconv.QuoteToASCII(string(runes[:maxShown])) + "..."
	}
	return strconv.Quote(value)
}

func hasParent(path string) bool {
	parts := strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '\\' })
	return slices.Contains(parts, "..")
}
