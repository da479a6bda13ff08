package parse

import "strings"

// maxRepeated bounds how many messages one line can stand for.
const maxRepeated = 1000

// cutRepetition unwraps "message repeated 5 times: [ … ]", with which rsyslog replaces messages that are equal to the one before, and
// returns how often.
func cutRepetition(s string) (message string, times int) {
	rest, ok := strings.CutPrefix(s, "message repeated ")
	if !ok {
		return s, 0
	}
	n, rest, ok := cutNumber(rest, 1, 9)
	rest, opened := strings.CutPrefix(rest, " times: [")
	if !ok || !opened || !strings.HasSuffix(rest, "]") {
		return s, 0
	}
	return strings.TrimPrefix(rest[:len(rest)-1], " "), min(n, maxRepeated)
}

// repetitionOfLast returns n of "last message repeated n times", which syslogd writes instead of messages that are equal to the one before.
func repetitionOfLast(s string) (times int) {
	rest, ok := strings.CutPrefix(s, "last message ")
	rest, hasCount := strings.CutPrefix(strings.TrimPrefix(rest, "buffered, "), "repeated ")
	n, rest, isNumber := cutNumber(rest, 1, 9)
	if !ok || !hasCount || !isNumber || !strings.HasPrefix(rest, " time") {
		return 0
	}
	return min(n, maxRepeated)
}

// setRepeated sets how many messages the line stands for.
func (e *Event) setRepeated(times int) {
	if times > 0 {
		e.Repeated = times
		e.setInt("repeated", int64(times))
	}
}
