package sigma

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
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
func newValue(raw any) value {
	switch x := raw.(type) {
	case nil:
		return value{isNull: true, tried: true}
	case string:
		return value{text: x}
	case bool:
		return value{text: strconv.FormatBool(x), tried: true}
	case int64:
		return value{text: strconv.FormatInt(x, 10), number: intNumber(x), numeric: true, tried: true}
	case int:
		return newValue(int64(x))
	case float64:
		return value{text: strconv.FormatFloat(x, 'f', -1, 64)}
	case time.Time:
		return value{text: x.Format(time.RFC3339Nano)}
	default:
		return value{text: fmt.Sprint(x)}
	}
}

// field is one field of an event.
type field struct {
	resolved bool
	present  bool
	values   []value
}

// resolve finds the values of name: as a key, else as a dotted path.
func (f *field) resolve(fields map[string]any, name string) {
	f.resolved = true
	f.find(fields, name, 0)
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
		f.values = append(f.values, newValue(raw))
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

// allValues appends every value below raw, in the order of the field names.
func allValues(out []value, prefix string, raw any, depth int) []value {
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
			out = allValues(out, name, x[key], depth+1)
		}
	case []any:
		for _, child := range x {
			out = allValues(out, prefix, child, depth+1)
		}
	default:
		v := newValue(raw)
		v.field = prefix
		out = append(out, v)
	}
	return out
}
