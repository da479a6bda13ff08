package docker

import (
	"fmt"
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

// Patterns for {id} in a path: containers and images are named by full id, networks by id
// or name.
const (
	containerPattern = `[0-9a-f]{64}`
	imagePattern     = `sha256:[0-9a-f]{64}`
	networkPattern   = `[a-zA-Z0-9][a-zA-Z0-9_.-]*`
)

// Allow returns the rules, one per method, with which a socket proxy allows exactly the
// calls of the features and of FeatureSession; without features, all calls but those of
// FeatureImages: who may export images reads every file in them, so they have a proxy of
// their own.
func Allow(features ...Feature) []Rule {
	paths := map[string][]string{}
	for _, c := range Calls() {
		if !allowed(c.Feature, features) {
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

// ParseFeatures returns the features with names.
func ParseFeatures(names []string) ([]Feature, error) {
	var known []string
	for _, c := range Calls() {
		if !slices.Contains(known, string(c.Feature)) {
			known = append(known, string(c.Feature))
		}
	}
	var out []Feature
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("there is no feature %q, want some of %s", name, strings.Join(known, ", "))
		}
		out = append(out, Feature(name))
	}
	return out, nil
}

func allowed(f Feature, features []Feature) bool {
	if len(features) == 0 {
		return f != FeatureImages
	}
	return f == FeatureSession || slices.Contains(features, f)
}

func pattern(path string) string {
	id := containerPattern
	switch {
	case strings.HasPrefix(path, "/networks/"):
		id = networkPattern
	case strings.HasPrefix(path, "/images/"):
		id = imagePattern
	}
	return strings.ReplaceAll(regexp.QuoteMeta(path), `\{id\}`, id)
}
