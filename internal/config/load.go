package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/viper"

	"github.com/ironpost/ironpost/internal/setting"
)

// maxFile bounds the size of a configuration file.
const maxFile = 1 << 20

// Options says where a configuration is read from.
type Options struct {
	// Path is the file; empty means none. Named tells that a person chose it, so that its absence is an error.
	Path  string
	Named bool
	// Prefix begins every variable; default "IRONPOST_".
	Prefix string
	// Environ has NAME=value entries, as os.Environ returns them; nil means no variables.
	Environ []string
	// Ignore lists variables with the prefix that are no keys; a * at the end stands for any ending.
	Ignore []string
	// Flags are the command-line flags that were given.
	Flags []Flag
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

func (o Options) prefix() string {
	if o.Prefix == "" {
		return "IRONPOST_"
	}
	return o.Prefix
}

// loader is the state of one Load.
type loader struct {
	options  Options
	schema   schema
	document *document
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
	s, err := schemaOf(reflect.TypeFor[T](), options.prefix())
	if err != nil {
		return config, nil, err
	}
	data, found, err := readFile(options)
	if err != nil {
		return config, nil, err
	}
	l := &loader{options: options, schema: s, origins: map[string]Origin{}, via: map[string]string{}}
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
	return config, l.loaded(reflect.ValueOf(config), found), nil
}

// readFile returns the bytes of the file; a default file that is missing is empty.
func readFile(options Options) (data []byte, found bool, err error) {
	if options.Path == "" {
		return nil, false, nil
	}
	info, err := os.Stat(options.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !options.Named:
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("configuration file: %w", err)
	case info.IsDir() || info.Mode()&(fs.ModeNamedPipe|fs.ModeSocket) != 0:
		return nil, false, fmt.Errorf("configuration file %s: is not a regular file", setting.Shown(options.Path))
	}
	file, err := os.Open(options.Path)
	if err != nil {
		return nil, false, fmt.Errorf("configuration file: %w", err)
	}
	defer file.Close()
	data, err = io.ReadAll(io.LimitReader(file, maxFile+1))
	switch {
	case err != nil:
		return nil, false, fmt.Errorf("configuration file: %w", err)
	case len(data) > maxFile:
		return nil, false, fmt.Errorf("configuration file %s: is larger than %d bytes", setting.Shown(options.Path), maxFile)
	}
	return bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), true, nil
}

// merge lets viper lay the layers over each other. Keys are flat: with NUL as the delimiter viper never splits one.
func (l *loader) merge(defaults reflect.Value) map[string]any {
	v := viper.NewWithOptions(viper.KeyDelimiter("\x00"))
	for _, f := range l.schema.fields {
		v.SetDefault(f.key, f.read(defaults))
	}
	for key := range l.document.at {
		l.origins[key] = Origin{Kind: FromFile, Name: l.document.file, At: l.document.keys[key]}
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

// check lets the configuration derive, validate and warn. Each key, or element of a list, is reported once: what follows from a wrong
// value helps nobody.
func (l *loader) check(config any) {
	if c, ok := config.(interface{ Derive() }); ok {
		c.Derive()
	}
	reported := map[string]bool{}
	for _, p := range l.problems {
		reported[p.Key] = true
	}
	if c, ok := config.(interface{ Validate() []setting.Problem }); ok {
		for _, p := range c.Validate() {
			if key, _ := l.element(p.Key); !reported[key] && !reported[p.Key] {
				reported[p.Key] = true
				l.problems = append(l.problems, l.locate(p))
			}
		}
	}
	if c, ok := config.(interface{ Warnings() []setting.Problem }); ok {
		for _, p := range c.Warnings() {
			l.warnings = append(l.warnings, l.locate(p).String())
		}
	}
}

// strict returns what is wrong so far. When nothing is, go-toml's own strict decoding has the last word over our walk.
func strict[T any](l *loader, data []byte) error {
	if len(l.problems) > 0 {
		return errorOf(l.problems, l.document.omitted)
	}
	var discarded T
	err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(&discarded)
	if err == nil {
		return nil
	}
	problem := Problem{File: l.document.file, What: err.Error()}
	if decode := (*toml.DecodeError)(nil); errors.As(err, &decode) {
		problem.At.Line, problem.At.Column = decode.Position()
		problem.Key = strings.Join(decode.Key(), ".")
	}
	return errorOf([]Problem{problem}, 0)
}

// blame and warn speak about a key with whoever set it.
func (l *loader) blame(key, what string) {
	l.problems = append(l.problems, l.locate(setting.Problem{Key: key, What: what}))
}

func (l *loader) warn(key, what string) {
	l.warnings = append(l.warnings, l.locate(setting.Problem{Key: key, What: what}).String())
}

func (l *loader) originOf(key string) Origin {
	return l.origins[key]
}

// locate finds who set a key: a variable or flag, a line, or for a default the section's header.
func (l *loader) locate(p setting.Problem) Problem {
	key, element := l.element(p.Key)
	located := Problem{File: l.document.file, Key: key, What: p.What}
	if element >= 0 {
		located.What = fmt.Sprintf("element %d: %s", element+1, p.What)
	}
	if fileKey, ok := l.via[key]; ok {
		key = fileKey
	}
	switch origin := l.origins[key]; origin.Kind {
	case FromVariable, FromFlag:
		located.File, located.Source = "", origin.Name
	case FromFile:
		located.At = l.document.place(key, element)
	default:
		located.At = l.document.header(key)
	}
	return located
}

// element splits "watch_paths.2" into the key and the index; the index is -1 when the key is whole.
func (l *loader) element(key string) (string, int) {
	if _, whole := l.schema.lookup(key); whole {
		return key, -1
	}
	dot := strings.LastIndexByte(key, '.')
	if dot < 0 {
		return key, -1
	}
	index, err := strconv.Atoi(key[dot+1:])
	if err != nil {
		return key, -1
	}
	return key[:dot], index
}

// place is where a value, or one element of it, stands in the file.
func (d *document) place(key string, element int) Position {
	if element >= 0 && element < len(d.elements[key]) {
		return d.elements[key][element]
	}
	return d.at[key]
}

// header is where the nearest section above a key begins; zero when the file has none.
func (d *document) header(key string) Position {
	for dot := strings.LastIndexByte(key, '.'); dot > 0; dot = strings.LastIndexByte(key[:dot], '.') {
		if at, ok := d.keys[key[:dot]]; ok {
			return at
		}
	}
	return Position{}
}

func (l *loader) loaded(config reflect.Value, found bool) *Loaded {
	loaded := &Loaded{Path: l.options.Path, Found: found, Warnings: l.warnings}
	for _, f := range l.schema.fields {
		loaded.Values = append(loaded.Values, newValue(f, f.read(config), l.origins[f.key]))
	}
	return loaded
}
