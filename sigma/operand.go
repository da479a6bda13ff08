package sigma

import (
	"fmt"
	"regexp"
	"strings"
)

const (
	maxRegex        = 8192 // bytes of a regular expression
	maxAlternatives = 4096 // that modifiers and placeholders may make of a value
)

type operandKind int

const (
	patternOperand operandKind = iota
	regexOperand
	numberOperand
	boolOperand
	nullOperand
	cidrOperand
	refOperand
)

// operand is a value while the modifiers are applied to it, one after the other.
type operand struct {
	kind    operandKind
	raw     string // as written
	changed bool   // a modifier changed the value, raw is out of date
	pattern []element
	number  number
	regex   string
	compare func(value, other string) bool // of a refOperand; nil means equal
	widened bool                           // by contains, startswith or endswith
}

// newOperand returns s as an operand before its modifiers.
func newOperand(s scalar) operand {
	o := operand{raw: s.text}
	switch s.kind {
	case nullScalar:
		o.kind = nullOperand
	case boolScalar:
		o.kind = boolOperand
	case numberScalar:
		o.kind, o.number = numberOperand, s.number
	default:
		o.pattern = parsePattern(s.text)
	}
	return o
}

// transform applies one modifier to the alternatives of one value; modifiers are
// applied in the order in which they are written. base64offset, and windash
// before an encoding, make several alternatives of one.
func transform(mod string, in []operand) ([]operand, error) {
	switch mod {
	case "windash", "contains", "startswith", "endswith", "re", "cidr", "fieldref":
		for i := range in {
			if err := in[i].change(mod); err != nil {
				return nil, err
			}
		}
		return in, nil
	case "base64", "base64offset", "utf16le", "wide", "utf16be", "utf16":
		return encode(mod, in)
	case "lt", "lte", "gt", "gte", "minute", "hour", "day", "week", "month", "year":
		if in[0].kind != numberOperand {
			return nil, fmt.Errorf("%s needs a number", mod)
		}
	}
	return in, nil
}

func (o *operand) change(mod string) error {
	switch mod {
	case "re":
		if o.changed || o.kind != patternOperand && o.kind != numberOperand {
			return fmt.Errorf("re needs a string, and must come before modifiers that change the value")
		}
		o.kind, o.regex = regexOperand, o.raw
	case "cidr", "fieldref":
		if o.changed || o.kind != patternOperand || o.raw == "" {
			return fmt.Errorf("%s needs a plain string, and must come before modifiers that change the value", mod)
		}
		o.kind = map[string]operandKind{"cidr": cidrOperand, "fieldref": refOperand}[mod]
	case "windash":
		if err := o.toPattern(mod); err != nil {
			return err
		}
		o.pattern = windash(o.pattern)
	default:
		return o.widen(mod)
	}
	return nil
}

// toPattern turns a number or boolean into a string, for string modifiers.
func (o *operand) toPattern(mod string) error {
	switch o.kind {
	case patternOperand:
	case numberOperand, boolOperand:
		o.kind = patternOperand
		o.pattern = []element{{kind: literalElement, text: o.raw}}
	default:
		return fmt.Errorf("%s needs a string", mod)
	}
	o.changed = true
	return nil
}

// widen applies contains, startswith and endswith. Regular expressions match
// anywhere in a value, so contains changes nothing for them.
func (o *operand) widen(mod string) error {
	switch o.kind {
	case regexOperand:
		switch mod {
		case "startswith":
			o.regex = `\A(?:` + o.regex + `)`
		case "endswith":
			o.regex = `(?:` + o.regex + `)\z`
		}
		return nil
	case refOperand:
		o.compare = map[string]func(value, other string) bool{
			"contains": strings.Contains, "startswith": strings.HasPrefix, "endswith": strings.HasSuffix,
		}[mod]
		return nil
	}
	if err := o.toPattern(mod); err != nil {
		return err
	}
	o.widened = true
	if mod != "startswith" && (len(o.pattern) == 0 || o.pattern[0].kind != manyElement) {
		o.pattern = append([]element{{kind: manyElement}}, o.pattern...)
	}
	if mod != "endswith" {
		if last := len(o.pattern) - 1; last < 0 || o.pattern[last].kind != manyElement {
			o.pattern = append(o.pattern, element{kind: manyElement})
		}
	}
	return nil
}

func compileRegex(o operand, flags string) (*regexp.Regexp, error) {
	if len(o.regex) > maxRegex {
		return nil, fmt.Errorf("the regular expression has %d bytes, allowed are %d", len(o.regex), maxRegex)
	}
	text := o.regex
	if flags != "" {
		text = "(?" + flags + ":" + text + ")"
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("%w (allowed is the syntax of RE2: no lookaround, no backreference)", err)
	}
	return re, nil
}
