package parse

import (
	"strconv"
	"strings"

	"github.com/ironpost/ironpost/sigma"
)

// parseLEEF parses the Log Event Extended Format of IBM QRadar, versions 1.0 and 2.0; only 2.0 names the character between the pairs:
//
//	LEEF:1.0|Vendor|Product|Version|EventID|src=192.0.2.7<tab>usrName=bob
//	LEEF:2.0|Vendor|Product|Version|EventID|^|src=192.0.2.7^usrName=bob
func parseLEEF(ev *Event, text string) bool {
	rest, ok := strings.CutPrefix(text, "LEEF:")
	if !ok {
		return false
	}
	header, attributes, ok := cutHeaderFields(rest, 5)
	if !ok {
		return false
	}
	delimiter := "\t"
	if header[0] == "2.0" {
		named, more, ok := strings.Cut(attributes, "|")
		if char, isDelimiter := leefDelimiter(named); ok && isDelimiter {
			delimiter, attributes = char, more
		}
	}
	ev.Logsource = sigma.Logsource{Category: "application"}
	ev.set("device_vendor", header[1])
	ev.set("device_product", header[2])
	ev.set("device_version", header[3])
	ev.set("event_class_id", header[4])
	var pairs []pair
	for attribute := range strings.SplitSeq(attributes, delimiter) {
		if key, value, ok := strings.Cut(attribute, "="); ok && len(key) <= maxKey && isKey(key) && len(pairs) < maxPairs {
			pairs = append(pairs, pair{key: key, value: value})
		}
	}
	ev.setEndpoints(pairs, []string{"src"}, []string{"srcPort"}, []string{"dst"}, []string{"dstPort"})
	ev.setEventFields(pairs)
	ev.setPairs(pairs)
	return true
}

// leefDelimiter reads the delimiter: a character, or its code as in x5E and 0x5E; empty is a tab.
func leefDelimiter(s string) (string, bool) {
	if s == "" {
		return "\t", true
	}
	if code, ok := strings.CutPrefix(strings.TrimPrefix(s, "0"), "x"); ok {
		if n, err := strconv.ParseUint(code, 16, 8); err == nil && n != 0 && n < 0x80 {
			return string(rune(n)), true
		}
	}
	return s, len(s) == 1
}
