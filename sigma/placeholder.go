package sigma

import (
	"fmt"
	"slices"
	"strings"
)

// expand replaces the placeholders of a value by every combination of their
// values. Without the expand modifier %name% is plain text.
func (b *builder) expand(it *item, v scalar) ([]scalar, error) {
	if !slices.Contains(it.mods, "expand") || v.kind != textScalar || b.validateOnly {
		return []scalar{v}, nil
	}
	texts := []string{""}
	rest := v.text
	for rest != "" {
		plain, name, after := nextPlaceholder(rest)
		values := []string{""}
		if name != "" {
			var ok bool
			if values, ok = b.placeholders[name]; !ok || len(values) == 0 {
				return nil, fmt.Errorf("placeholder %%%s%% has no value: the rule cannot be used without it", name)
			}
		}
		if len(texts)*len(values) > maxAlternatives {
			return nil, fmt.Errorf("placeholders make more than %d alternatives of the value", maxAlternatives)
		}
		var next []string
		for _, text := range texts {
			for _, value := range values {
				next = append(next, text+plain+value)
			}
		}
		texts, rest = next, after
	}
	out := make([]scalar, len(texts))
	for i, text := range texts {
		out[i] = scalar{text: text, at: v.at}
	}
	return out, nil
}

// nextPlaceholder splits s at its first %name%; \% is a plain percent sign.
func nextPlaceholder(s string) (plain, name, rest string) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == '%':
			b.WriteByte('%')
			i++
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == '\\':
			b.WriteString(`\\`)
			i++
		case s[i] == '%' && placeholderEnd(s[i+1:]) > 0:
			end := i + 1 + placeholderEnd(s[i+1:])
			return b.String(), s[i+1 : end], s[end+1:]
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), "", ""
}

// placeholderEnd returns the length of the name at the start of s if a percent
// sign follows it, else 0.
func placeholderEnd(s string) int {
	for i := range len(s) {
		switch {
		case s[i] == '%':
			return i
		case s[i] >= 0x80 || !isWordRune(rune(s[i])) && s[i] != '-' && s[i] != '.':
			return 0
		}
	}
	return 0
}
