package syslog

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Decoder decodes the records of spool files. The zero value is ready for use, by one goroutine.
type Decoder struct {
	head []byte // of the last record: what precedes its message
	last Record // what it says
}

// DecodeRecord decodes a line of a spool file. Message may share the memory of line. The error wraps ErrRecord.
func DecodeRecord(line []byte) (Record, error) { return new(Decoder).Decode(line) }

// Decode is DecodeRecord, and faster for a record that was received together with the one before it. What is of the form that is written
// now is decoded to what encoding/json decodes it to.
func (d *Decoder) Decode(line []byte) (Record, error) {
	s := recordScanner{}
	rest, same := bytes.CutPrefix(line, d.head)
	if same && len(d.head) > 0 {
		s.rest = rest
	} else {
		s.rest = line
		r, ok := s.head()
		if !ok {
			d.head = d.head[:0]
			return decodeJSON(line)
		}
		d.head, d.last = append(d.head[:0], line[:len(line)-len(s.rest)]...), r
	}
	r := d.last
	if r.Message, r.Truncated = s.message(); s.failed || string(s.rest) != "}" {
		return decodeJSON(line)
	}
	return r, nil
}

// head cuts what appendHead writes, and reports whether it is there.
func (s *recordScanner) head() (r Record, ok bool) {
	received := s.member(`{"received":`)
	r.Peer = string(s.member(`,"peer":`))
	known := slices.Index(transports[:], string(s.member(`,"transport":`)))
	if s.starts(`,"name":`) {
		r.Name = string(s.text())
	}
	if s.starts(`,"uid":`) {
		r.UID = s.uid()
	}
	if s.starts(`,"exe":`) {
		r.Exe = string(s.text())
	}
	if s.failed || known < 0 || r.Time.UnmarshalText(received) != nil {
		return Record{}, false
	}
	r.Time, r.Transport = r.Time.UTC(), transports[known]
	return r, true
}

// message cuts what appendMessage writes.
func (s *recordScanner) message() (message []byte, truncated bool) {
	truncated = s.starts(`,"truncated":true`)
	if s.starts(`,"message":`) {
		return s.text(), truncated
	}
	return s.decoded(s.member(`,"raw":`)), truncated
}

// recordScanner cuts the members of a record from the beginning of rest. After one that is not as appendRecord writes it, failed is set.
type recordScanner struct {
	rest   []byte
	failed bool
}

// starts cuts before, and reports whether rest begins with it.
func (s *recordScanner) starts(before string) bool {
	rest, ok := bytes.CutPrefix(s.rest, []byte(before))
	s.rest = rest
	return ok
}

// member cuts before and the string after it.
func (s *recordScanner) member(before string) []byte {
	s.failed = !s.starts(before) || s.failed
	return s.text()
}

// text cuts a string, and returns what it stands for.
func (s *recordScanner) text() []byte {
	if len(s.rest) == 0 || s.rest[0] != '"' {
		s.failed = true
		return nil
	}
	b := s.rest[1:]
	end := 0
	for end < len(b) && b[end] != '"' && b[end] != '\\' && b[end] >= ' ' {
		end++
	}
	if end == len(b) || b[end] != '"' {
		return s.escaped(b, end)
	}
	s.rest = b[end+1:]
	s.failed = s.failed || !utf8.Valid(b[:end])
	return b[:end:end]
}

// escaped is text for a string that begins in b, with an escape sequence at first.
func (s *recordScanner) escaped(b []byte, first int) []byte {
	out := append(make([]byte, 0, len(b)), b[:first]...)
	for i := first; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			s.rest = b[i+1:]
			s.failed = s.failed || !utf8.Valid(out)
			return out
		case c < ' ':
			s.failed = true
			return nil
		case c != '\\':
			out = append(out, c)
		default:
			decoded, n := unescape(b[i:])
			if n == 0 {
				s.failed = true
				return nil
			}
			out = append(out, decoded)
			i += n - 1
		}
	}
	s.failed = true
	return nil
}

// unescape returns the character of the escape sequence that b begins with, and its length: one of those that appendString writes. 0 says
// that it is none of them.
func unescape(b []byte) (c byte, n int) {
	if len(b) >= 2 && (b[1] == '"' || b[1] == '\\') {
		return b[1], 2
	}
	const length = len(`\u0000`)
	if len(b) < length || b[1] != 'u' {
		return 0, 0
	}
	code, err := strconv.ParseUint(string(b[2:length]), 16, 16)
	if err != nil || code >= ' ' {
		return 0, 0
	}
	return byte(code), length
}

// uid cuts a number.
func (s *recordScanner) uid() *uint32 {
	end := 0
	for end < len(s.rest) && s.rest[end] >= '0' && s.rest[end] <= '9' {
		end++
	}
	digits := string(s.rest[:end])
	s.rest = s.rest[end:]
	n, err := strconv.ParseUint(digits, 10, 32)
	s.failed = s.failed || err != nil || end > 1 && digits[0] == '0'
	uid := uint32(n)
	return &uid
}

// decoded returns the bytes that base64 stands for.
func (s *recordScanner) decoded(text []byte) []byte {
	out, err := base64.StdEncoding.AppendDecode([]byte{}, text)
	s.failed = s.failed || err != nil
	return out
}
