package audit

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"
)

// cursor reads the fixed form of a body from left to right. After the first
// mismatch bad is set and it returns zero values.
type cursor struct {
	rest []byte
	bad  bool
}

func (c *cursor) check(err error) {
	c.bad = c.bad || err != nil
}

func (c *cursor) literal(want string) {
	rest, ok := bytes.CutPrefix(c.rest, []byte(want))
	c.bad = c.bad || !ok
	c.rest = rest
}

func (c *cursor) take(n int) []byte {
	if c.bad || len(c.rest) < n {
		c.bad = true
		return nil
	}
	out := c.rest[:n]
	c.rest = c.rest[n:]
	return out
}

func (c *cursor) until(end byte) []byte {
	out := c.take(bytes.IndexByte(c.rest, end) + 1)
	if len(out) == 0 {
		c.bad = true
		return nil
	}
	return out[:len(out)-1]
}

// number reads a decimal of one spelling: no sign, no leading zero.
func (c *cursor) number() uint64 {
	n := 0
	for n < len(c.rest) && c.rest[n] >= '0' && c.rest[n] <= '9' {
		n++
	}
	digits := c.take(n)
	if n == 0 || (n > 1 && digits[0] == '0') {
		c.bad = true
		return 0
	}
	v, err := strconv.ParseUint(string(digits), 10, 64)
	c.check(err)
	return v
}

func (c *cursor) time() time.Time {
	t, err := time.Parse(time.RFC3339Nano, string(c.until('"')))
	c.check(err)
	return t
}

// text reads one JSON string.
func (c *cursor) text() string {
	n := stringEnd(c.rest)
	raw := c.take(n)
	var s string
	if n == 0 || !utf8.Valid(raw) {
		c.bad = true
		return ""
	}
	c.check(json.Unmarshal(raw, &s))
	return s
}

// stringEnd is the length of the JSON string that b begins with, 0 if it does not.
func stringEnd(b []byte) int {
	if len(b) == 0 || b[0] != '"' {
		return 0
	}
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return 0
}
