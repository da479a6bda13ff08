package docker

import (
	"regexp"
	"slices"
	"strings"
)

// Rule allows requests of a method whose whole path matches Pattern, a regular
// expression in Go's syntax.
type Rule struct {
	Method  string
	Pattern string
}

// Patterns for {id} in a path: containers are named by full id, networks by id or name.
const (
	containerPattern = `[0-9a-f]{64}`
	networkPattern   = `[a-zA-Z0-9][a-zA-Z0-9_.-]*`
)

// Allow returns the rules, one per method, with which a socket proxy allows exactly the
// calls of the features and of FeatureSession; without features, all calls.
func Allow(features ...Feature) []Rule {
	paths := map[string][]string{}
	for _, c := range Calls() {
		if len(features) > 0 && c.Feature != FeatureSession && !slices.Contains(features, c.Feature) {
			continue
		}
		if p := pattern(c.Path); !slices.Contains(paths[c.Method], p) {
			paths[c.Method] = append(paths[c.Method], p)
		}
	}
	var out []Rule
	for _, method := range []string{"HEAD", "GET", "POST"} {
		if len(paths[method]) > 0 {
			out = append(out, Rule{Method: method, Pattern: `(/v1\.[0-9]+)?(` + strings.Join(paths[method], "|") + `)`})
		}
	}
	return out
}

func pattern(path string) string {
	id := containerPattern
	if strings.HasPrefix(path, "/networks/") {
		id = networkPattern
	}
	return strings.ReplaceAll(regexp.QuoteMeta(path), `\{id\}`, id)
}
