package config

import (
	"io/fs"
	"maps"
	"reflect"

	"github.com/spf13/viper"

	"github.com/ironpost/ironpost/internal/setting"
)

// Options are the sources of a configuration.
type Options struct {
	// Path is the file; empty means none. Named: the user chose it, so its absence is an error.
	Path  string
	Named bool
	// Environ has NAME=value entries, as os.Environ returns them; nil means no variables.
	Environ []string
	// Ignore lists variables with the prefix that are no keys; a * at the end stands for any ending.
	Ignore []string
	// Flags are the command-line flags that were given.
	Flags []Flag
	// Check returns more problems of a configuration, a pointer to it, than its Validate does; nil means none.
	Check func(config any) []setting.Problem
}

// Flag is a command-line flag that sets a key.
type Flag struct {
	// Name is as typed, "--log-level".
	Name string
	// Key is the key it sets, "general.log_level".
	Key string
	// Value is read like a variable's.
	Value string
}

// prefix begins every variable.
const prefix = "IRONPOST_"

// loader is the state of one Load.
type loader struct {
	options  Options
	schema   schema
	document *document
	mode     fs.FileMode // of the file; absent when there is none
	origins  map[string]Origin
	via      map[string]string // a secret's key → the key of the file it was read from
	problems []Problem
	warnings []string
}

// Load returns defaults overlaid with the file, the environment and the flags, and where each value came from. Every problem with the
// configuration is in one *Error; a file that cannot be read is another error (fs.ErrNotExist when a named file is missing). The
// returned value shares nothing with defaults. Load may be called from several goroutines.
func Load[T any](defaults T, options Options) (T, *Loaded, error) {
	var config T
	s, err := schemaOf(reflect.TypeFor[T]())
	if err != nil {
		return config, nil, err
	}
	data, mode, err := readFile(options)
	if err != nil {
		return config, nil, err
	}
	l := &loader{options: options, schema: s, mode: mode, origins: map[string]Origin{}, via: map[string]string{}}
	l.document = parse(options.Path, data, s)
	l.problems = l.document.problems
	if l.document.broken {
		return config, nil, errorOf(l.problems, l.document.omitted)
	}
	values := l.merge(reflect.ValueOf(defaults))
	l.secrets(values)
	for _, f := range s.fields {
		f.set(reflect.ValueOf(&config).Elem(), values[f.key])
	}
	l.check(&config)
	if err := strict[T](l, data); err != nil {
		return *new(T), nil, err
	}
	loaded := &Loaded{Path: options.Path, Found: mode != absent, Warnings: l.warnings}
	for _, f := range s.fields {
		loaded.Values = append(loaded.Values, newValue(f, f.read(reflect.ValueOf(config)), l.origins[f.key]))
	}
	return config, loaded, nil
}

// merge combines the layers with viper. Keys are flat: with NUL as the delimiter viper never splits one.
func (l *loader) merge(defaults reflect.Value) map[string]any {
	v := viper.NewWithOptions(viper.KeyDelimiter("\x00"))
	for _, f := range l.schema.fields {
		v.SetDefault(f.key, f.read(defaults))
	}
	for key := range l.document.at {
		l.origins[key] = Origin{Kind: FromFile, Name: l.document.file, At: l.document.keys[key]}
	}
	for _, f := range l.schema.fields {
		if _, given := l.document.at[f.key]; given && f.kind == kindTables {
			l.document.values[f.key] = l.document.tables(f)
		}
	}
	if err := v.MergeConfigMap(l.document.values); err != nil {
		l.problems = append(l.problems, Problem{File: l.document.file, What: err.Error()})
	}
	for _, over := range []layer{l.environ(), l.flags()} { // viper has one place above the file: the later wins
		for key, value := range over.values {
			v.Set(key, value)
		}
		maps.Copy(l.origins, over.origins)
	}
	values := make(map[string]any, len(l.schema.fields))
	for _, f := range l.schema.fields {
		values[f.key] = v.Get(f.key)
	}
	return values
}

// check calls Derive, Validate and Warnings of the configuration. Each key, or element of a list, is reported once: consequences of a
// wrong value would only hide the cause.
func (l *loader) check(config any) {
	if c, ok := config.(interface{ Derive() }); ok {
		c.Derive()
	}
	reported := map[string]bool{}
	for _, p := range l.problems {
		reported[p.Key] = true
	}
	var found []setting.Problem
	if c, ok := config.(interface{ Validate() []setting.Problem }); ok {
		found = c.Validate()
	}
	if l.options.Check != nil {
		found = append(found, l.options.Check(config)...)
	}
	for _, p := range found {
		if key, _ := l.element(p.Key); !reported[key] && !reported[p.Key] {
			reported[p.Key] = true
			l.problems = append(l.problems, l.locate(p))
		}
	}
	if c, ok := config.(interface{ Warnings() []setting.Problem }); ok {
		for _, p := range c.Warnings() {
			l.warnings = append(l.warnings, l.locate(p).String())
		}
	}
}
