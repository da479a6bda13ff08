package bus

import (
	"hash/fnv"
	"strconv"

	"github.com/nats-io/nats.go"

	"github.com/ironpost/ironpost/event"
)

// The headers of a stored record. Nats-Msg-Id is its identity; traceparent is that
// of W3C Trace Context.
const (
	HeaderID          = nats.MsgIdHdr
	HeaderSeverity    = "Ironpost-Severity"
	HeaderRule        = "Ironpost-Rule"
	HeaderSchema      = "Ironpost-Schema"
	HeaderTraceparent = "traceparent"
	HeaderContentType = "Content-Type"
)

// maxHeader bounds a header value; ids are at most this long already.
const maxHeader = 256

func headers(m event.Meta) nats.Header {
	values := [...]string{
		m.ID, "application/json", strconv.Itoa(m.Schema),
		event.PrintableASCII(m.Severity, maxHeader), event.PrintableASCII(m.Rule, maxHeader), traceparent(m),
	}
	h := make(nats.Header, len(values))
	for i, key := range [...]string{HeaderID, HeaderContentType, HeaderSchema, HeaderSeverity, HeaderRule, HeaderTraceparent} {
		if values[i] != "" {
			h[key] = values[i : i+1 : i+1]
		}
	}
	return h
}

// traceparent makes the record a span of its trace. A trace id of another form than
// 32 hex digits is left out of it, as the specification asks.
func traceparent(m event.Meta) string {
	if !isHex(m.TraceID, 32) {
		return ""
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(m.ID)) // never fails
	span := strconv.FormatUint(h.Sum64()|1<<60, 16)
	return "00-" + m.TraceID + "-" + span + "-01"
}

func isHex(s string, n int) bool {
	if len(s) != n {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
