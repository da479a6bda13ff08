package event

import "time"

// MaxLogFields caps the parsed fields of one Log.
const MaxLogFields = 256

// maxLine caps Message, in bytes.
const maxLine = 32 << 10

// Log is a log line as PostgreSQL holds it; no module publishes it. Source is where
// it was read, such as "file:/var/log/auth.log" or "syslog"; Received is when Ironpost read
// it, Time is the time in the line. Origin, Trust and LogHost are those of Alert.
type Log struct {
	ID       string            `json:"id"`
	Schema   int               `json:"schema"`
	TraceID  string            `json:"trace_id"`
	Time     time.Time         `json:"time"`
	Received time.Time         `json:"received"`
	Host     string            `json:"host"`
	Source   string            `json:"source"`
	Process  string            `json:"process,omitempty"`
	Message  string            `json:"message"`
	Fields   map[string]string `json:"fields,omitempty"`
	Origin   *Origin           `json:"origin,omitempty"`
	Trust    Trust             `json:"trust,omitempty"`
	LogHost  string            `json:"log_host,omitempty"`
}

// Meta implements Record.
func (l *Log) Meta() Meta { return Meta{ID: l.ID, Schema: l.Schema, TraceID: l.TraceID} }

// Validate returns the first reason why l is not a valid log record.
func (l *Log) Validate() error {
	return firstError(validMeta(l.Meta(), l.Time), required("host", l.Host), required("source", l.Source))
}

func (l *Log) clamp() {
	l.Message = Shorten(l.Message, maxLine)
	l.Origin.clamp()
	l.LogHost = Shorten(l.LogHost, maxName)
	if len(l.Fields) > MaxLogFields {
		l.Fields = nil
	}
}

func (l *Log) dropDetail() bool {
	if len(l.Fields) == 0 {
		return false
	}
	l.Fields = nil
	return true
}
