package parse

import "time"

// What the time in a line may differ from that of the envelope around it and still be believed.
const (
	maxAhead  = 5 * time.Minute
	maxBehind = 7 * 24 * time.Hour
)

// setEnvelopeTime sets when an envelope says that its line was written. A time in the line takes precedence if it is plausible.
func (e *Event) setEnvelopeTime(at time.Time) {
	if !at.IsZero() && e.envelope.IsZero() {
		e.Time, e.envelope = at, at
	}
}

// settleTime uses the time of the envelope if that in the line is implausible, and keeps the other one as the field envelope_time or line_time.
func (e *Event) settleTime() {
	if e.envelope.IsZero() || e.Time.Equal(e.envelope) {
		return
	}
	if e.Time.IsZero() || e.Time.After(e.envelope.Add(maxAhead)) || e.Time.Before(e.envelope.Add(-maxBehind)) {
		e.set("line_time", formatTime(e.Time))
		e.Time = e.envelope
		return
	}
	e.set("envelope_time", formatTime(e.envelope))
}

func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
