package event

import (
	"encoding/base32"
	"encoding/hex"
	"strings"
)

// shortIDSize is how many characters of an id are shown: 40 bits.
const shortIDSize = 8

var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// ShortID returns the short form of an id for people: the first 8 characters of it in base32. Of an id that is not hexadecimal, as a
// module of another author may have, it is the first 8 characters of the id itself.
func ShortID(id string) string {
	long := longID(id)
	return Shorten(long, shortIDSize)
}

// HasIDPrefix reports whether prefix, in any case, begins id or its form in base32. No prefix begins any.
func HasIDPrefix(id, prefix string) bool {
	prefix = strings.ToLower(prefix)
	return prefix != "" && (strings.HasPrefix(strings.ToLower(id), prefix) || strings.HasPrefix(longID(id), prefix))
}

// IDRanges returns the ranges, first and last id, in which the hexadecimal ids are of which prefix is a prefix.
func IDRanges(prefix string) (ranges [][2]string) {
	const digits = 32
	prefix = strings.ToLower(prefix)
	if len(prefix) <= digits && strings.Trim(prefix, "0123456789abcdef") == "" {
		ranges = append(ranges, [2]string{prefix + strings.Repeat("0", digits-len(prefix)), prefix + strings.Repeat("f", digits-len(prefix))})
	}
	const chars = 26 // of 16 bytes
	if len(prefix) > chars || strings.Trim(prefix, "abcdefghijklmnopqrstuvwxyz234567") != "" {
		return ranges
	}
	first, err := base32Lower.DecodeString(prefix + strings.Repeat("a", chars-len(prefix)))
	last, err2 := base32Lower.DecodeString(prefix + strings.Repeat("7", chars-len(prefix)))
	if err == nil && err2 == nil {
		ranges = append(ranges, [2]string{hex.EncodeToString(first), hex.EncodeToString(last)})
	}
	return ranges
}

// longID returns an id in base32, or as it is if it is not hexadecimal.
func longID(id string) string {
	raw, err := hex.DecodeString(id)
	if err != nil || len(raw) < 5 {
		return strings.ToLower(id)
	}
	return base32Lower.EncodeToString(raw)
}
