package sigma

import (
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"
)

// longFields is the number of fields from which on names are looked up in a map.
const longFields = 32

// Fields are the named values of an event, each name once, in the order in which they were first set. The zero value holds none. Copies
// share their memory, see Clone. Concurrent reads are safe.
//
// A value may be a nested map[string]any, whose fields have dotted names ("a.b"); a name that itself contains the dots takes precedence.
type Fields struct {
	names  []string
	values []Value
	seen   uint64         // the bits of the names: one without its bit is not set
	index  map[string]int // name → position, if there are longFields
}

// bitOf returns the bit of a name in Fields.seen.
func bitOf(name string) uint64 {
	if name == "" {
		return 1
	}
	return 1 << ((uint(len(name)) + 5*uint(name[0]) + 3*uint(name[len(name)-1])) % 64)
}

// FieldsOf returns the fields of m, in the order of their names, with values as NewValue makes them.
func FieldsOf(m map[string]any) Fields {
	var f Fields
	for _, name := range slices.Sorted(maps.Keys(m)) {
		f.Set(name, NewValue(m[name]))
	}
	return f
}

// Len returns the number of fields.
func (f *Fields) Len() int { return len(f.names) }

// Set sets a field, and replaces its value if it was set.
func (f *Fields) Set(name string, v Value) {
	if i := f.find(name); i >= 0 {
		f.values[i] = v
		return
	}
	f.names, f.values = append(f.names, name), append(f.values, v)
	f.seen |= bitOf(name)
	switch {
	case f.index != nil:
		f.index[name] = len(f.names) - 1
	case len(f.names) == longFields:
		f.index = make(map[string]int, 2*longFields)
		for i, n := range f.names {
			f.index[n] = i
		}
	}
}

// Get returns the value of a field, and whether it is set.
func (f *Fields) Get(name string) (Value, bool) {
	if i := f.find(name); i >= 0 {
		return f.values[i], true
	}
	return Value{}, false
}

// Text returns the value of a field that is text, else "".
func (f *Fields) Text(name string) string {
	v, _ := f.Get(name)
	return v.text
}

// Delete removes the fields whose names satisfy remove.
func (f *Fields) Delete(remove func(name string) bool) {
	kept := slices.IndexFunc(f.names, remove)
	if kept < 0 {
		return
	}
	for i := kept + 1; i < len(f.names); i++ {
		if name := f.names[i]; !remove(name) {
			f.names[kept], f.values[kept] = name, f.values[i]
			kept++
		}
	}
	clear(f.values[kept:])
	names, values := f.names[:kept], f.values[:kept]
	*f = Fields{names: names, values: values}
	for _, name := range names {
		f.seen |= bitOf(name)
	}
	if kept >= longFields {
		f.index = make(map[string]int, 2*kept)
		for i, n := range names {
			f.index[n] = i
		}
	}
}

// Reset removes all fields and keeps the memory for others, so no copy of f may be in use.
func (f *Fields) Reset() {
	clear(f.names)
	clear(f.values)
	*f = Fields{names: f.names[:0], values: f.values[:0]}
}

// Clone returns an independent copy.
func (f *Fields) Clone() Fields {
	return Fields{names: slices.Clone(f.names), values: slices.Clone(f.values), seen: f.seen, index: maps.Clone(f.index)}
}

// All returns the fields in the order in which they were first set.
func (f *Fields) All() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		for i, name := range f.names {
			if !yield(name, f.values[i]) {
				return
			}
		}
	}
}

// Map returns the fields as a map, with the values of Value.Any.
func (f *Fields) Map() map[string]any {
	out := make(map[string]any, f.Len())
	for name, v := range f.All() {
		out[name] = v.Any()
	}
	return out
}

func (f *Fields) find(name string) int {
	if f.seen&bitOf(name) == 0 {
		return -1
	}
	if f.index != nil {
		if i, ok := f.index[name]; ok {
			return i
		}
		return -1
	}
	for i, n := range f.names {
		if n == name {
			return i
		}
	}
	return -1
}

// Value is the value of a field. The zero value is null.
type Value struct {
	kind valueKind
	bits uint64 // of an integer, a float or a boolean
	text string
	tree any // []any or map[string]any
}

type valueKind uint8

const (
	nullValue valueKind = iota
	textValue
	intValue
	floatValue
	boolValue
	treeValue
)

// Text returns a value that is text.
func Text(s string) Value { return Value{kind: textValue, text: s} }

// Int returns a value that is an integer.
func Int(i int64) Value { return Value{kind: intValue, bits: uint64(i)} }

// Bool returns a value that is a boolean.
func Bool(b bool) Value {
	v := Value{kind: boolValue}
	if b {
		v.bits = 1
	}
	return v
}

// NewValue returns the value for a string, bool, int64, int, float64, nil, []any of those, or a map[string]any of those. A time becomes
// text of RFC 3339, another type that of fmt.Sprint.
func NewValue(raw any) Value {
	switch x := raw.(type) {
	case nil:
		return Value{}
	case string:
		return Text(x)
	case bool:
		return Bool(x)
	case int64:
		return Int(x)
	case int:
		return Int(int64(x))
	case float64:
		return Value{kind: floatValue, bits: math.Float64bits(x)}
	case []any, map[string]any:
		return Value{kind: treeValue, tree: raw}
	case Value:
		return x
	}
	if at, ok := raw.(time.Time); ok {
		return Text(at.Format(time.RFC3339Nano))
	}
	return Text(fmt.Sprint(raw))
}

// Any returns the string, bool, int64, float64, nil, []any or map[string]any of v.
func (v Value) Any() any {
	switch v.kind {
	case textValue:
		return v.text
	case intValue:
		return int64(v.bits)
	case floatValue:
		return math.Float64frombits(v.bits)
	case boolValue:
		return v.bits != 0
	case treeValue:
		return v.tree
	}
	return nil
}

// Int64 returns the integer of v, and whether it is one.
func (v Value) Int64() (int64, bool) { return int64(v.bits), v.kind == intValue }

// IsText reports whether v is text.
func (v Value) IsText() bool { return v.kind == textValue }

// String returns v as text, in the form in which rules compare it.
func (v Value) String() string {
	switch v.kind {
	case textValue:
		return v.text
	case intValue:
		return strconv.FormatInt(int64(v.bits), 10)
	case floatValue:
		return strconv.FormatFloat(math.Float64frombits(v.bits), 'f', -1, 64)
	case boolValue:
		return strconv.FormatBool(v.bits != 0)
	case treeValue:
		return fmt.Sprint(v.tree)
	}
	return ""
}
