package syslog

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strconv"
	"unicode/utf8"
)

// scanRecord decodes a line of the form that appendRecord writes, to what encoding/json decodes it to, and reports whether it is one.
// Message may share the memory of line.
func scanRecord(line []byte) (r Record, ok bool) {
	s := recordScanner{rest: line}
	received := s.member(`{"received":`)
	r.Peer = string(s.member(`,"peer":`))
	transport := s.member(`,"transport":`)
	if s.starts(`,"name":`) {
		r.Name = string(s.text())
	}
	if s.starts(`,"uid":`) {
		r.UID = s.uid()
	}
	if s.starts(`,"exe":`) {
		r.Exe = string(s.text())
	}
	r.Truncated = s.starts(`,"truncated":true`)
	if s.starts(`,"message":`) {
		r.Message = s.text()
	} else {
		r.Message = s.decoded(s.member(`,"raw":`))
	}
	known := slices.Index(transports[:], string(transport))
	if s.failed || string(s.rest) != "}" || known < 0 || r.Time.UnmarshalText(received) != nil {
		return Record{}, false
	}
	r.Time, r.Transport = r.Time.UTC(), transports[known]
	return r, true
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
