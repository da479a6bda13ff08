package sigma

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds of one value and of what modifiers may make of it.
const (
	maxRegex        = 8192
	maxAlternatives = 4096
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

type refKind int

const (
	refEqual refKind = iota
	refContains
	refPrefix
	refSuffix
)

// operand is a value on its way through the modifiers.
type operand struct {
	kind    operandKind
	raw     string // as written, until a modifier changes the value
	changed bool
	pattern []element
	number  number
	regex   string
	ref     refKind
	widened bool // contains, startswith or endswith was applied
}

// itemModifiers is what the modifiers of one item say besides changing values.
type itemModifiers struct {
	all, neq, cased, exists bool
	keyword                 bool
	regexFlags              string
	compareOp, timePart     string
}

// modifierNames is what an error lists as allowed.
const modifierNames = "all, contains, startswith, endswith, exists, cased, neq, windash, re, i, m, s, base64, base64offset, " +
	"utf16le, wide, utf16be, utf16, lt, lte, gt, gte, minute, hour, day, week, month, year, cidr, expand, fieldref"

// set sets the modifiers that concern the whole item and checks what does not
// depend on values.
func (st *itemModifiers) set(mods []string) error {
	seen := make(map[string]bool, len(mods))
	for _, mod := range mods {
		if seen[mod] && mod != "base64" { // encoding twice has a meaning
			return fmt.Errorf("modifier %q stands there twice", mod)
		}
		seen[mod] = true
		if err := st.setOne(mod, seen); err != nil {
			return err
		}
	}
	switch {
	case st.exists && len(mods) > 1:
		return fmt.Errorf("exists takes no other modifier")
	case st.neq && st.all:
		return fmt.Errorf("neq already means none of the values: all has no meaning with it")
	case st.cased && (seen["re"] || seen["cidr"] || st.compareOp != "" || st.timePart != ""):
		return fmt.Errorf("cased goes with texts only (regular expressions are case-sensitive without it)")
	case st.compareOp != "" && st.all:
		return fmt.Errorf("all has no meaning with %s", st.compareOp)
	}
	return nil
}

func (st *itemModifiers) setOne(mod string, seen map[string]bool) error {
	switch mod {
	case "all":
		st.all = true
	case "neq":
		st.neq = true
	case "cased":
		st.cased = true
	case "exists":
		st.exists = true
	case "lt", "lte", "gt", "gte":
		if st.compareOp != "" {
			return fmt.Errorf("modifiers %s and %s exclude each other", st.compareOp, mod)
		}
		st.compareOp = mod
	case "minute", "hour", "day", "week", "month", "year":
		if st.timePart != "" {
			return fmt.Errorf("modifiers %s and %s exclude each other", st.timePart, mod)
		}
		st.timePart = mod
	case "i", "ignorecase", "m", "multiline", "s", "dotall":
		if !seen["re"] {
			return fmt.Errorf("modifier %q must come after re", mod)
		}
		st.regexFlags += map[string]string{"i": "i", "ignorecase": "i", "m": "m", "multiline": "m", "s": "s", "dotall": "s"}[mod]
	case "contains", "startswith", "endswith", "windash", "re", "base64", "base64offset", "utf16le", "wide",
		"utf16be", "utf16", "cidr", "expand", "fieldref":
	default:
		return fmt.Errorf("there is no modifier %q: allowed are %s", mod, modifierNames)
	}
	return nil
}

// newOperand is a scalar before its modifiers.
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

// transform applies one modifier, in the order they are written, to the
// alternatives of one value. A value becomes several by base64offset or by
// windash before an encoding.
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
		return o.toRegex()
	case "cidr", "fieldref":
		if o.changed || o.kind != patternOperand || o.raw == "" {
			return fmt.Errorf("%s needs a plain text, and must come before modifiers that change the value", mod)
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

func (o *operand) toRegex() error {
	if o.changed || o.kind != patternOperand && o.kind != numberOperand {
		return fmt.Errorf("re needs a text, and must come before modifiers that change the value")
	}
	o.kind, o.regex = regexOperand, o.raw
	return nil
}

// toPattern makes a text of a number or boolean for modifiers of texts.
func (o *operand) toPattern(mod string) error {
	switch o.kind {
	case patternOperand:
	case numberOperand, boolOperand:
		o.kind = patternOperand
		o.pattern = []element{{kind: literalElement, text: o.raw}}
	default:
		return fmt.Errorf("%s needs a text", mod)
	}
	o.changed = true
	return nil
}

// widen applies contains, startswith and endswith. Expressions are searched
// anywhere in a value, so contains adds nothing to them.
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
		o.ref = map[string]refKind{"contains": refContains, "startswith": refPrefix, "endswith": refSuffix}[mod]
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
		o.pattern = endWithStar(o.pattern)
	}
	return nil
}

func endWithStar(p []element) []element {
	if len(p) > 0 && p[len(p)-1].kind == manyElement {
		return p
	}
	return append(p, element{kind: manyElement})
}

// windash replaces dashes and slashes that begin a word, such as those of
// command line flags, by the class of all dashes. Like pySigma it leaves those
// inside of words and paths alone.
func windash(in []element) []element {
	var out []element
	for _, e := range in {
		if e.kind != literalElement {
			out = append(out, e)
			continue
		}
		start, previous := 0, ' '
		for i, c := range e.text {
			end := i + utf8.RuneLen(c)
			next, _ := utf8.DecodeRuneInString(e.text[min(end, len(e.text)):])
			if c != utf8.RuneError && strings.ContainsRune(dashes, c) && !isWordRune(previous) && isWordRune(next) {
				if i > start {
					out = append(out, element{kind: literalElement, text: e.text[start:i]})
				}
				out = append(out, element{kind: dashElement})
				start = end
			}
			previous = c
		}
		if start < len(e.text) {
			out = append(out, element{kind: literalElement, text: e.text[start:]})
		}
	}
	return out
}

func isWordRune(c rune) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80 && c != utf8.RuneError
}

func encode(mod string, in []operand) ([]operand, error) {
	var out []operand
	for i := range in {
		if err := in[i].toPattern(mod); err != nil {
			return nil, err
		}
		for _, p := range spellDashes([][]element{in[i].pattern}) {
			encoded, err := encodePattern(mod, p)
			if err != nil {
				return nil, err
			}
			for _, q := range encoded {
				out = append(out, operand{changed: true, pattern: q})
			}
		}
		if len(out) > maxAlternatives {
			return nil, fmt.Errorf("%s makes more than %d spellings of the value", mod, maxAlternatives)
		}
	}
	return out, nil
}

// spellDashes writes every dash class out, which encodings need. It stops early
// once there are too many; the caller refuses them.
func spellDashes(in [][]element) [][]element {
	for i := 0; len(in) <= maxAlternatives; i++ {
		var out [][]element
		found := false
		for _, p := range in {
			if i >= len(p) || p[i].kind != dashElement {
				out = append(out, p)
				continue
			}
			found = true
			for _, dash := range dashes {
				q := append([]element(nil), p...)
				q[i] = element{kind: literalElement, text: string(dash)}
				out = append(out, q)
			}
		}
		in = out
		if !found && i >= len(in[0]) {
			break
		}
	}
	return in
}

func encodePattern(mod string, p []element) ([][]element, error) {
	if mod == "utf16le" || mod == "wide" || mod == "utf16be" {
		out := make([]element, len(p))
		for i, e := range p {
			e.text = utf16Text(e.text, mod == "utf16be")
			out[i] = e
		}
		return [][]element{out}, nil
	}
	var text strings.Builder
	for _, e := range p {
		if e.kind != literalElement {
			return nil, fmt.Errorf("%s cannot encode wildcards: escape them with a backslash", mod)
		}
		text.WriteString(e.text)
	}
	var out [][]element
	for _, s := range encodings(mod, text.String()) {
		out = append(out, []element{{kind: literalElement, text: s}})
	}
	return out, nil
}

func encodings(mod, s string) []string {
	switch mod {
	case "utf16":
		return []string{"\xff\xfe" + utf16Text(s, false)}
	case "base64":
		return []string{base64.StdEncoding.EncodeToString([]byte(s))}
	}
	// Of base64offset only the characters that no neighbour changes remain.
	starts, ends := [3]int{0, 2, 3}, [3]int{0, 3, 2}
	var out []string
	for i := range 3 {
		text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat(" ", i) + s))
		if from, to := starts[i], len(text)-ends[(len(s)+i)%3]; from < to {
			out = append(out, text[from:to])
		}
	}
	return out
}

func utf16Text(s string, bigEndian bool) string {
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune(s)) {
		if bigEndian {
			b.Write([]byte{byte(unit >> 8), byte(unit)})
		} else {
			b.Write([]byte{byte(unit), byte(unit >> 8)})
		}
	}
	return b.String()
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
