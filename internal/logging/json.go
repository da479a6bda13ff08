package logging

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/event"
)

// timeFormat is RFC 3339 with milliseconds, always in UTC.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

// jsonFormatter writes one object per line: time, level, msg, then the fields by
// name. A field with the name of one of the three is prefixed with "field_".
type jsonFormatter struct{}

// Format implements logrus.Formatter. It never fails: a value that JSON cannot
// express is written as text.
func (jsonFormatter) Format(e *logrus.Entry) ([]byte, error) {
	b := []byte(`{"time":"`)
	b = e.Time.UTC().AppendFormat(b, timeFormat)
	b = append(b, `","level":`...)
	b = appendJSON(b, e.Level.String())
	b = append(b, `,"msg":`...)
	b = appendJSON(b, e.Message)
	for _, key := range slices.Sorted(maps.Keys(e.Data)) {
		b = append(b, ',')
		b = appendJSON(b, fieldName(key))
		b = append(b, ':')
		b = appendJSON(b, e.Data[key])
	}
	return append(b, '}', '\n'), nil
}

func fieldName(key string) string {
	switch key {
	case "time", "level", "msg":
		return "field_" + key
	}
	return key
}

func appendJSON(b []byte, v any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(simple(v)); err != nil {
		return appendJSON(b, fmt.Sprint(v))
	}
	if buf.Len() > 2*maxValue {
		return appendJSON(b, buf.String())
	}
	return append(b, event.PrintableJSON(bytes.TrimSuffix(buf.Bytes(), []byte("\n")))...)
}

// simple returns the text of a value whose JSON form is not useful, such as an error or a duration.
func simple(v any) any {
	switch v := v.(type) {
	case string:
		return shorten(v)
	case time.Duration:
		return v.String()
	case error:
		return shorten(fmt.Sprint(v))
	case json.Marshaler:
		return v
	case fmt.Stringer:
		return shorten(fmt.Sprint(v))
	}
	return v
}
