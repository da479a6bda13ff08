package config

import (
	"slices"
	"strings"

	"github.com/ironpost/ironpost/internal/setting"
)

// layer holds the values that one source sets, and the origin of each.
type layer struct {
	values  map[string]any
	origins map[string]Origin
}

// environ reads the variables that begin with the prefix. Those without a key are warnings, since a variable for another version or
// tool must not stop a start; those with a bad value are problems.
func (l *loader) environ() layer {
	vars := layer{values: map[string]any{}, origins: map[string]Origin{}}
	byName := map[string]field{}
	for _, f := range l.schema.fields {
		if f.variable != "" {
			byName[f.variable] = f
		}
	}
	for _, entry := range l.options.Environ {
		name, text, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		f, known := byName[name]
		if !known {
			l.unknownVariable(name, byName)
			continue
		}
		l.take(vars, f, text, Origin{Kind: FromVariable, Name: name})
	}
	return vars
}

// flags reads the command-line flags.
func (l *loader) flags() layer {
	set := layer{values: map[string]any{}, origins: map[string]Origin{}}
	for _, flag := range l.options.Flags {
		if f, known := l.schema.lookup(flag.Key); known && f.variable != "" {
			l.take(set, f, flag.Value, Origin{Kind: FromFlag, Name: flag.Name})
			continue
		}
		l.problems = append(l.problems, Problem{Source: flag.Name, Key: flag.Key, What: "unknown key"})
	}
	return set
}

// take keeps a text as the value of a field, or a problem. The origin is kept either way, so that later checks name the right source.
func (l *loader) take(into layer, f field, text string, origin Origin) {
	value, what := f.fromText(text)
	into.origins[f.key] = origin
	if what != "" {
		l.problems = append(l.problems, Problem{Source: origin.Name, Key: f.key, What: what})
		return
	}
	into.values[f.key] = value
}

func (l *loader) unknownVariable(name string, known map[string]field) {
	for _, ignored := range l.options.Ignore {
		if prefix, wild := strings.CutSuffix(ignored, "*"); name == ignored || wild && strings.HasPrefix(name, prefix) {
			return
		}
	}
	names := make([]string, 0, len(known))
	for n := range known {
		names = append(names, n)
	}
	slices.Sort(names)
	warning := setting.Key(name) + ": no key has this variable, it is ignored"
	if near := suggest(name, names); near != "" {
		warning += ", did you mean " + near + "?"
	}
	l.warnings = append(l.warnings, warning)
}
