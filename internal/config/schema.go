package config

import (
	"fmt"
	"reflect"
	"strings"
)

// kind is the type of a key's value.
type kind int

const (
	kindString kind = iota
	kindBool
	kindInt
	kindList
)

// String returns the kind as in an error message.
func (k kind) String() string {
	return [...]string{"a string", "true or false", "a whole number", "a list of strings"}[k]
}

// field is one key of the schema.
type field struct {
	key      string // dotted path
	variable string // IRONPOST_BUS_LISTEN
	kind     kind
	typ      reflect.Type
	index    []int // for reflect.Value.FieldByIndex
	secret   bool
	whole    bool // a secret of which no part may be shown
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
	k, err := kindOf(f.Type)
	if err != nil {
		return fmt.Errorf("config: key %s: %w", key, err)
	}
	s.byKey[key] = len(s.fields)
	s.fields = append(s.fields, field{key: key, variable: name, kind: k, typ: f.Type, index: index, secret: f.Tag.Get("secret") != "", whole: f.Tag.Get("secret") == "whole"})
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
	return 0, fmt.Errorf("type %s is not supported: use string, bool, an integer or []string", t)
}

// lookup finds a key by its path.
func (s *schema) lookup(key string) (field, bool) {
	i, ok := s.byKey[key]
	if !ok {
		return field{}, false
	}
	return s.fields[i], true
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
