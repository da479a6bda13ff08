package logging

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
)

// messageWidth is the column width of messages that are followed by fields.
const messageWidth = 32

// prettyFormatter writes time, level, message and fields on one line, in local time. For the journal, which keeps the time
// and shows it, the line begins with the priority instead (sd-daemon(3)).
type prettyFormatter struct{ colour, journal bool }

// Format implements logrus.Formatter. It never fails.
func (f prettyFormatter) Format(e *logrus.Entry) ([]byte, error) {
	var b []byte
	if f.journal {
		b = fmt.Appendf(b, "<%d>", priorityOf(e.Level))
	} else {
		b = e.Time.AppendFormat(b, time.DateTime+".000 ")
	}
	b = f.appendLevel(b, e.Level)
	start := len(b)
	b = appendText(b, e.Message)
	if pad := messageWidth - (len(b) - start); pad > 0 && len(e.Data) > 0 {
		b = append(b, strings.Repeat(" ", pad)...)
	}
	for _, key := range slices.Sorted(maps.Keys(e.Data)) {
		b = append(b, ' ')
		b = appendText(b, key)
		b = append(b, '=')
		b = appendValue(b, fmt.Sprint(e.Data[key]))
	}
	return append(b, '\n'), nil
}

func (f prettyFormatter) appendLevel(b []byte, level logrus.Level) []byte {
	word := fmt.Sprintf("%-5s ", strings.ToUpper(shortName(level)))
	if !f.colour {
		return append(b, word...)
	}
	return fmt.Appendf(b, "\x1b[%dm%s\x1b[0m", colourOf(level), word)
}

func shortName(level logrus.Level) string {
	if level == logrus.WarnLevel {
		return "warn"
	}
	return level.String()
}

// colourOf returns the SGR number: red, yellow, cyan, grey.
func colourOf(level logrus.Level) int {
	switch level {
	case logrus.PanicLevel, logrus.FatalLevel, logrus.ErrorLevel:
		return 31
	case logrus.WarnLevel:
		return 33
	case logrus.InfoLevel:
		return 36
	}
	return 90
}

// priorityOf returns the number of the level in syslog(3).
func priorityOf(level logrus.Level) int {
	switch level {
	case logrus.PanicLevel, logrus.FatalLevel:
		return 2
	case logrus.ErrorLevel:
		return 3
	case logrus.WarnLevel:
		return 4
	case logrus.InfoLevel:
		return 6
	}
	return 7
}
