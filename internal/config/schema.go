package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// kind is the type of a key's value.
type kind int

const (
	kindString kind = iota
	kindBool
	kindInt
	kindList
	kindTables // a list of sections
)

// String returns the kind as in an error message.
func (k kind) String() string {
	return [...]string{"a string", "true or false", "a whole number", "a list of strings", "a list of sections"}[k]
}

// field is one key of the schema.
type field struct {
	key      string // dotted path
	variable string // IRONPOST_BUS_LISTEN; "" for a list of sections and the keys in it
	kind     kind
	typ      reflect.Type
	index    []int // for reflect.Value.FieldByIndex
	secret   bool
	whole    bool    // a secret of which no part may be shown
	element  *schema // of each section of a list of sections
}

// schema is what a configuration type allows, in the order of its fields.
type schema struct {
	fields   []field
	byKey    map[string]int
	sections map[string][]string // path → names of its keys and subsections; "" is the top level
}

// schemaOf reads the schema of a struct type. An error is a mistake in the type, not in a configuration.
func schemaOf(t reflect.Type) (schema, error) {
	s := schema{byKey: map[string]int{}, sections: map[string][]string{}}
	if err := s.addSection(t, "", prefix, nil); err != nil {
		return schema{}, err
	}
	return s, nil
}

func (s *schema) addSection(t reflect.Type, path, variable string, index []int) error {
	if t.Kind() != reflect.Struct {
		return fmt.Errorf("config: section %q is a %s, want a struct", path, t)
	}
	s.sections[path] = []string{}
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("toml")
		if name == "" || name == "-" || !f.IsExported() || strings.ContainsAny(name, ".,") {
			return fmt.Errorf("config: field %s of section %q needs an exported name and a plain toml tag", f.Name, path)
		}
		s.sections[path] = append(s.sections[path], name)
		at := append(append([]int{}, index...), i)
		if err := s.addField(f, join(path, name), variable, at); err != nil {
			return err
		}
	}
	return nil
}

func (s *schema) addField(f reflect.StructField, key, variable string, index []int) error {
	name := variable + strings.ToUpper(f.Tag.Get("toml"))
	if f.Type.Kind() == reflect.Struct {
		if section := f.Tag.Get("env"); section != "" {
			name = prefix + section
		}
		return s.addSection(f.Type, key, name+"_", index)
	}
	if f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct {
		return s.addTables(f.Type, key, index)
	}
	k, err := kindOf(f.Type)
	if err != nil {
		return fmt.Errorf("config: key %s: %w", key, err)
	}
	s.byKey[key] = len(s.fields)
	s.fields = append(s.fields, field{key: key, variable: name, kind: k, typ: f.Type, index: index, secret: f.Tag.Get("secret") != "", whole: f.Tag.Get("secret") == "whole"})
	return nil
}

// addTables adds a list of sections, whose own keys are plain.
func (s *schema) addTables(t reflect.Type, key string, index []int) error {
	element, err := schemaOf(t.Elem())
	if err != nil {
		return fmt.Errorf("%w, in the list of sections %s", err, key)
	}
	if len(element.sections) > 1 {
		return fmt.Errorf("config: the list of sections %s has sections in it", key)
	}
	for i, f := range element.fields {
		if f.kind == kindTables || f.secret {
			return fmt.Errorf("config: the list of sections %s has a list of sections or a secret in it", key)
		}
		element.fields[i].variable = ""
	}
	s.byKey[key] = len(s.fields)
	s.fields = append(s.fields, field{key: key, kind: kindTables, typ: t, index: index, element: &element})
	return nil
}

func kindOf(t reflect.Type) (kind, error) {
	switch {
	case t.Kind() == reflect.String:
		return kindString, nil
	case t.Kind() == reflect.Bool:
		return kindBool, nil
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Int64:
		return kindInt, nil
	case t == reflect.TypeFor[[]string]():
		return kindList, nil
	}
	return 0, fmt.Errorf("type %s is not supported: use string, bool, an integer, []string or a slice of structs", t)
}

// lookup finds a key by its path. The keys in element 2 of the list of sections a.b are a.b.2.<name>.
func (s *schema) lookup(key string) (field, bool) {
	if i, ok := s.byKey[key]; ok {
		return s.fields[i], true
	}
	list, rest, ok := s.inTables(key)
	if !ok {
		return field{}, false
	}
	f, ok := list.element.lookup(rest)
	f.key = key
	return f, ok
}

// names returns the keys and sections of the section at path, false if none is there.
func (s *schema) names(path string) ([]string, bool) {
	if names, ok := s.sections[path]; ok {
		return names, true
	}
	list, rest, ok := s.inTables(path)
	if !ok {
		return nil, false
	}
	return list.element.names(rest)
}

// inTables returns the list of sections that path leads into, and the path within the element.
func (s *schema) inTables(path string) (list field, rest string, ok bool) {
	for _, f := range s.fields {
		if f.kind != kindTables {
			continue
		}
		if rest, ok := strings.CutPrefix(path, f.key+"."); ok {
			index, rest, _ := strings.Cut(rest, ".")
			_, err := strconv.Atoi(index)
			return f, rest, err == nil
		}
	}
	return field{}, "", false
}

// read takes the value of a field out of a configuration; set puts one in. Integers travel as int64.
func (f field) read(config reflect.Value) any {
	v := config.FieldByIndex(f.index)
	switch f.kind {
	case kindInt:
		return v.Int()
	case kindList:
		return append([]string{}, v.Interface().([]string)...)
	case kindBool:
		return v.Bool()
	case kindTables:
		list := make([]map[string]any, v.Len())
		for i := range list {
			list[i] = map[string]any{}
			for _, in := range f.element.fields {
				list[i][in.key] = in.read(v.Index(i))
			}
		}
		return list
	default:
		return v.String()
	}
}

func (f field) set(config reflect.Value, value any) {
	v := config.FieldByIndex(f.index)
	switch typed := value.(type) {
	case int64:
		v.SetInt(typed)
	case bool:
		v.SetBool(typed)
	case string:
		v.SetString(typed)
	case []string:
		v.Set(reflect.ValueOf(append([]string{}, typed...)))
	case []map[string]any:
		f.setTables(v, typed)
	}
}

// setTables makes v the elements with the given values. What an element does not set has the zero value, nil for a list. v stays nil for none.
func (f field) setTables(v reflect.Value, elements []map[string]any) {
	for _, values := range elements {
		element := reflect.New(f.typ.Elem()).Elem()
		for _, in := range f.element.fields {
			in.set(element, values[in.key])
		}
		v.Set(reflect.Append(v, element))
	}
}

// overflow says why an integer does not fit the field's Go type.
func (f field) overflow(n int64) string {
	if reflect.Zero(f.typ).OverflowInt(n) {
		return fmt.Sprintf("%d is out of range, must fit %d bits", n, f.typ.Bits())
	}
	return ""
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
