package sigma

import (
	"maps"
	"slices"
)

// maxEventDepth bounds how deep maps and lists of an event are followed.
const maxEventDepth = 32

// value is one value of an event, converted at most once for all rules.
type value struct {
	field   string // set for keywords only
	text    string
	lowered string
	number  number
	isNull  bool
	numeric bool
	isLower bool
	tried   bool // whether text is a number is known
}

func (v *value) lower() string {
	if !v.isLower {
		v.lowered, v.isLower = lower(v.text), true
	}
	return v.lowered
}

// asNumber also reads text as a number: many sources write all values as text.
func (v *value) asNumber() (number, bool) {
	if !v.tried {
		v.number, v.numeric = parseNumber(v.text)
		v.tried = true
	}
	return v.number, v.numeric
}

// newValue converts a scalar of an event.
func newValue(v Value) value {
	switch v.kind {
	case nullValue:
		return value{isNull: true, tried: true}
	case textValue, floatValue:
		return value{text: v.String()}
	case intValue:
		return value{text: v.String(), number: intNumber(int64(v.bits)), numeric: true, tried: true}
	default:
		return value{text: v.String(), tried: true}
	}
}

// field is one field of an event.
type field struct {
	present  bool
	resolved bool // it was looked for as a dotted path
	values   []value
}

// resolve finds the values of name: as a name of fields, else as a dotted path.
func (f *field) resolve(fields *Fields, name string) {
	if v, ok := fields.Get(name); ok {
		f.set(v)
		return
	}
	f.resolvePath(fields, name)
}

// set makes v the value of the field.
func (f *field) set(v Value) {
	f.present = true
	if v.kind == treeValue {
		f.add(v.tree, 0)
		return
	}
	f.values = append(f.values, newValue(v))
}

// resolvePath finds the values of name as a dotted path.
func (f *field) resolvePath(fields *Fields, name string) {
	f.resolved = true
	for i := 0; i < len(name) && !f.present; i++ {
		if name[i] != '.' {
			continue
		}
		if v, ok := fields.Get(name[:i]); ok {
			f.descend(v.tree, name[i+1:], 1)
		}
	}
}

func (f *field) find(m map[string]any, name string, depth int) {
	if raw, ok := m[name]; ok {
		f.present = true
		f.add(raw, depth)
		return
	}
	for i := 0; i < len(name) && depth < maxEventDepth; i++ {
		if name[i] != '.' {
			continue
		}
		if f.descend(m[name[:i]], name[i+1:], depth+1); f.present {
			return
		}
	}
}

// descend follows a dotted name into a map, or into all maps of a list.
func (f *field) descend(raw any, rest string, depth int) {
	switch x := raw.(type) {
	case map[string]any:
		f.find(x, rest, depth)
	case []any:
		if depth > maxEventDepth {
			return
		}
		for _, child := range x {
			f.descend(child, rest, depth+1)
		}
	}
}

// add appends a scalar, or the scalars of a list. A map makes the field present
// without a value.
func (f *field) add(raw any, depth int) {
	switch x := raw.(type) {
	case map[string]any:
	case []any:
		if depth > maxEventDepth {
			return
		}
		for _, child := range x {
			f.add(child, depth+1)
		}
	default:
		f.values = append(f.values, newValue(NewValue(raw)))
	}
}

// isNull reports whether the field is missing or has no value but null.
func (f *field) isNull() bool {
	for i := range f.values {
		if !f.values[i].isNull {
			return false
		}
	}
	return !f.present || len(f.values) > 0
}

// allValues appends every value of fields.
func allValues(out []value, fields *Fields) []value {
	for name, v := range fields.All() {
		switch v.kind {
		case nullValue:
		case treeValue:
			out = valuesBelow(out, name, v.tree, 1)
		default:
			got := newValue(v)
			got.field = name
			out = append(out, got)
		}
	}
	return out
}

// valuesBelow appends every value below raw, in the order of the field names.
func valuesBelow(out []value, prefix string, raw any, depth int) []value {
	if depth > maxEventDepth {
		return out
	}
	switch x := raw.(type) {
	case nil:
	case map[string]any:
		keys := slices.AppendSeq(make([]string, 0, len(x)), maps.Keys(x))
		slices.Sort(keys)
		for _, key := range keys {
			name := key
			if prefix != "" {
				name = prefix + "." + key
			}
			out = valuesBelow(out, name, x[key], depth+1)
		}
	case []any:
		for _, child := range x {
			out = valuesBelow(out, prefix, child, depth+1)
		}
	default:
		v := newValue(NewValue(raw))
		v.field = prefix
		out = append(out, v)
	}
	return out
}
