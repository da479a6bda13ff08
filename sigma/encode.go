package sigma

import (
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// windash replaces dashes and slashes that begin a word, such as those of
// command line flags, by the class of all dashes. Like pySigma it does not
// replace those inside of words and paths.
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

// encode applies base64, base64offset or a UTF-16 modifier to all alternatives.
func encode(mod string, in []operand) ([]operand, error) {
	tooMany := fmt.Errorf("%s makes more than %d alternatives of the value", mod, maxAlternatives)
	var out []operand
	for i := range in {
		if err := in[i].toPattern(mod); err != nil {
			return nil, err
		}
		patterns := expandDashes([][]element{in[i].pattern})
		if len(patterns) > maxAlternatives {
			return nil, tooMany
		}
		for _, p := range patterns {
			encoded, err := encodePattern(mod, p)
			if err != nil {
				return nil, err
			}
			for _, q := range encoded {
				out = append(out, operand{changed: true, pattern: q})
			}
		}
		if len(out) > maxAlternatives {
			return nil, tooMany
		}
	}
	return out, nil
}

// expandDashes replaces every dash class by each dash, which encodings need. It
// stops once there are too many alternatives; the caller refuses them.
func expandDashes(in [][]element) [][]element {
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
	// base64offset keeps only the characters that do not depend on the bytes
	// before and after the value.
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
