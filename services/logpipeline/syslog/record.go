package syslog

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Transports of a message.
const (
	UDP  = "udp"
	TCP  = "tcp"
	TLS  = "tls"
	Unix = "unix"
	// Operator is that of Server.Take.
	Operator = "operator"
)

var transports = [...]string{UDP, TCP, TLS, Unix, Operator}

// Transports returns all of them.
func Transports() []string { return transports[:] }

// ErrRecord is the error of DecodeRecord for a line that is not a record of a spool file.
var ErrRecord = errors.New("not a spool record")

// Record is one message as it was received.
type Record struct {
	Time      time.Time // when it was received, UTC
	Peer      string    // ip:port of the sender; of Unix and Operator, nothing
	Transport string    // one of Transports
	Name      string    // of the sender as its certificate proves it, issued by Config.ClientCA; of Operator, the operator's
	UID       *uint32   // of Unix: the user of the process that sent it, as the kernel proves
	Exe       string    // and its program, "" if it had ended or is in a container
	Message   []byte    // the bytes of the message, framing removed
	Truncated bool      // the message was longer than Config.MaxMessage, and is cut
}

// recordJSON is a Record in a spool file. Raw replaces Message where JSON cannot hold the
// bytes, or only in a larger form.
type recordJSON struct {
	Received  time.Time `json:"received"`
	Peer      string    `json:"peer"`
	Transport string    `json:"transport"`
	Name      string    `json:"name"`
	UID       *uint32   `json:"uid"`
	Exe       string    `json:"exe"`
	Message   *string   `json:"message"`
	Raw       []byte    `json:"raw"`
	Truncated bool      `json:"truncated"`
}

// decodeJSON decodes a line of a spool file that has any form of JSON.
func decodeJSON(b []byte) (Record, error) {
	var r recordJSON
	if err := json.Unmarshal(b, &r); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	if !slices.Contains(transports[:], r.Transport) || r.Message == nil && r.Raw == nil {
		return Record{}, fmt.Errorf("%w: transport or message missing", ErrRecord)
	}
	out := Record{Time: r.Received.UTC(), Peer: r.Peer, Transport: r.Transport, Name: r.Name, UID: r.UID, Exe: r.Exe, Message: r.Raw, Truncated: r.Truncated}
	if r.Raw == nil {
		out.Message = []byte(*r.Message)
	}
	return out, nil
}

// appendRecord appends r to b as one line of JSON. Every byte string has a form in it.
func appendRecord(b []byte, r Record) []byte {
	return appendMessage(appendHead(b, r), r.Message, r.Truncated)
}

// appendHead appends the part of the line before the message: records that were received at once from one sender have the same.
func appendHead(b []byte, r Record) []byte {
	b = append(b, `{"received":"`...)
	b = r.Time.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","peer":`...)
	b = appendString(b, []byte(r.Peer))
	b = append(b, `,"transport":`...)
	b = appendString(b, []byte(r.Transport))
	if r.Name != "" {
		b = appendString(append(b, `,"name":`...), []byte(r.Name))
	}
	if r.UID != nil {
		b = strconv.AppendUint(append(b, `,"uid":`...), uint64(*r.UID), 10)
	}
	if r.Exe != "" {
		b = appendString(append(b, `,"exe":`...), []byte(strings.ToValidUTF8(r.Exe, "\uFFFD")))
	}
	return b
}

// appendMessage appends the rest of the line.
func appendMessage(b, message []byte, truncated bool) []byte {
	if truncated {
		b = append(b, `,"truncated":true`...)
	}
	switch {
	case isPlain(message) && utf8.Valid(message):
		b = append(append(append(b, `,"message":"`...), message...), '"')
	case utf8.Valid(message) && quotedLen(message) <= base64.StdEncoding.EncodedLen(len(message)):
		b = appendString(append(b, `,"message":`...), message)
	default:
		b = append(b, `,"raw":"`...)
		b = append(base64.StdEncoding.AppendEncode(b, message), '"')
	}
	return append(b, '}', '\n')
}

// isPlain reports whether a JSON string has no escape sequence for any byte of s.
func isPlain(s []byte) bool {
	for _, c := range s {
		if c < ' ' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// quotedLen is the length that appendString gives s, without the quotation marks.
func quotedLen(s []byte) int {
	n := len(s)
	for _, c := range s {
		switch {
		case c < ' ':
			n += 5
		case c == '"' || c == '\\':
			n++
		}
	}
	return n
}

// appendString appends s, valid UTF-8, as a JSON string (RFC 8259 7).
func appendString(b, s []byte) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	from := 0
	for i, c := range s {
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[from:i]...)
		if c < ' ' {
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		} else {
			b = append(b, '\\', c)
		}
		from = i + 1
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}
