package sigma

import (
	"fmt"
	"slices"
)

// itemModifiers are the modifiers of an item that do not change its values.
type itemModifiers struct {
	all, neq, cased, exists bool
	keyword                 bool   // the item has no field
	regexFlags              string // of i, m, s
	compareOp               string // lt, lte, gt, gte or empty
	timePart                string // minute, hour, day, week, month, year or empty
}

// modifierNames is the list of modifiers for errors.
const modifierNames = "all, contains, startswith, endswith, exists, cased, neq, windash, re, i, m, s, base64, base64offset, " +
	"utf16le, wide, utf16be, utf16, lt, lte, gt, gte, minute, hour, day, week, month, year, cidr, expand, fieldref"

// set reads the modifiers of an item and checks what does not depend on values.
func (m *itemModifiers) set(mods []string) error {
	seen := make(map[string]bool, len(mods))
	for _, mod := range mods {
		if seen[mod] && mod != "base64" { // base64 of base64 is meaningful
			return fmt.Errorf("modifier %q is given twice", mod)
		}
		seen[mod] = true
		if err := m.setOne(mod, seen); err != nil {
			return err
		}
	}
	switch {
	case m.exists && len(mods) > 1:
		return fmt.Errorf("exists takes no other modifier")
	case m.neq && m.all:
		return fmt.Errorf("neq already means none of the values: all cannot be used with it")
	case m.cased && (seen["re"] || seen["cidr"] || m.compareOp != "" || m.timePart != ""):
		return fmt.Errorf("cased applies to strings only (regular expressions are case-sensitive without it)")
	case m.compareOp != "" && m.all:
		return fmt.Errorf("all cannot be used with %s", m.compareOp)
	}
	return nil
}

func (m *itemModifiers) setOne(mod string, seen map[string]bool) error {
	switch mod {
	case "all":
		m.all = true
	case "neq":
		m.neq = true
	case "cased":
		m.cased = true
	case "exists":
		m.exists = true
	case "lt", "lte", "gt", "gte":
		if m.compareOp != "" {
			return fmt.Errorf("modifiers %s and %s cannot be combined", m.compareOp, mod)
		}
		m.compareOp = mod
	case "minute", "hour", "day", "week", "month", "year":
		if m.timePart != "" {
			return fmt.Errorf("modifiers %s and %s cannot be combined", m.timePart, mod)
		}
		m.timePart = mod
	case "i", "ignorecase", "m", "multiline", "s", "dotall":
		if !seen["re"] {
			return fmt.Errorf("modifier %q must come after re", mod)
		}
		m.regexFlags += map[string]string{"i": "i", "ignorecase": "i", "m": "m", "multiline": "m", "s": "s", "dotall": "s"}[mod]
	case "contains", "startswith", "endswith", "windash", "re", "base64", "base64offset", "utf16le", "wide",
		"utf16be", "utf16", "cidr", "expand", "fieldref":
	default:
		return fmt.Errorf("there is no modifier %q: allowed are %s", mod, modifierNames)
	}
	return nil
}

// checkItem checks what depends on the values and on the field.
func (m *itemModifiers) checkItem(it *item) error {
	switch {
	case m.all && len(it.values) == 1:
		return fmt.Errorf("all needs at least two values")
	case m.exists && (len(it.values) != 1 || it.values[0].kind != boolScalar):
		return fmt.Errorf("exists needs exactly one value, true or false")
	case !m.keyword:
		return nil
	case m.exists, m.neq, m.compareOp != "", m.timePart != "",
		slices.Contains(it.mods, "cidr"), slices.Contains(it.mods, "fieldref"):
		return fmt.Errorf("needs a field name: keywords take string modifiers and all only")
	}
	return nil
}
