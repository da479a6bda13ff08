package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"time"
	"unicode/utf8"
)

var (
	errForm = errors.New("not in the form of a record")
	errHash = errors.New("does not have the hash it carries")
)

// hashedLine is a line split into its hashed bytes, the hash it carries and the hash it should carry.
type hashedLine struct {
	body     []byte
	written  Hash
	computed Hash
}

// splitHash splits line, given without its line feed. It returns errForm if the line carries no hash, and
// errHash with all fields set if it carries another one than its body has.
func splitHash(line []byte) (hashedLine, error) {
	at := len(line) - hashTail
	if at < 0 || string(line[at:at+len(hashOpen)]) != hashOpen || string(line[len(line)-len(hashClose):]) != hashClose {
		return hashedLine{}, errForm
	}
	s := hashedLine{body: line[:at], computed: sha256.Sum256(line[:at])}
	if err := s.written.UnmarshalText(line[at+len(hashOpen) : len(line)-len(hashClose)]); err != nil {
		return s, errForm
	}
	if s.written != s.computed {
		return s, errHash
	}
	return s, nil
}

// hasValidHash reports whether line carries the hash of its body.
func hasValidHash(line []byte) bool {
	_, err := splitHash(line)
	return err == nil
}

// decodeLine reads one line, given without its line feed. It returns errForm or errHash for a line that
// encode did not write. The record refers to the line.
func decodeLine(line []byte) (Record, error) {
	s, err := splitHash(line)
	if err != nil {
		return Record{}, err
	}
	return decodeBody(s)
}

func decodeBody(s hashedLine) (Record, error) {
	d := decoder{rest: s.body}
	r := Record{Hash: s.computed}
	d.literal(`{"seq":`)
	r.Seq = d.number()
	d.literal(`,"prev":"`)
	d.check(r.Prev.UnmarshalText(d.take(hexHash)))
	d.literal(`","time":"`)
	r.Time = d.time()
	d.literal(`,"kind":"`)
	r.Kind = Kind(d.until('"'))
	switch r.Kind {
	case Action:
		d.literal(`,"id":`)
		r.ID = d.text()
		d.literal(`,"stream_seq":`)
		r.StreamSeq = d.number()
		d.literal(`,"action":`)
		r.Action = d.rest
	case Break:
		d.literal(`,"reason":`)
		r.Reason = d.text()
	case Accepted:
		d.literal(`,"by":`)
		r.By = d.text()
		d.literal(`,"reason":`)
		r.Reason = d.text()
		d.literal(`,"state":"`)
		d.check(r.State.UnmarshalText(d.take(hexHash)))
		d.literal(`"`)
	case Pruned:
		d.literal(`,"first":`)
		r.Begin.first = d.number()
		d.literal(`,"before":"`)
		d.check(r.Begin.before.UnmarshalText(d.take(hexHash)))
		d.literal(`","digest":"`)
		r.Begin.digest = d.hex(2 * digestSize)
		d.literal(`"`)
	default:
		d.bad = true
	}
	if d.bad || r.Seq == 0 {
		return Record{}, errForm
	}
	return r, nil
}

// decoder reads the fixed form of a body from left to right. After the first mismatch bad is set and it
// returns zero values.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) check(err error) {
	d.bad = d.bad || err != nil
}

func (d *decoder) literal(want string) {
	rest, ok := bytes.CutPrefix(d.rest, []byte(want))
	d.bad = d.bad || !ok
	d.rest = rest
}

func (d *decoder) take(n int) []byte {
	if d.bad || len(d.rest) < n {
		d.bad = true
		return nil
	}
	out := d.rest[:n]
	d.rest = d.rest[n:]
	return out
}

func (d *decoder) until(end byte) []byte {
	out := d.take(bytes.IndexByte(d.rest, end) + 1)
	if len(out) == 0 {
		d.bad = true
		return nil
	}
	return out[:len(out)-1]
}

// number reads a decimal of one spelling: no sign, no leading zero.
func (d *decoder) number() uint64 {
	n := 0
	for n < len(d.rest) && d.rest[n] >= '0' && d.rest[n] <= '9' {
		n++
	}
	digits := d.take(n)
	if n == 0 || (n > 1 && digits[0] == '0') {
		d.bad = true
		return 0
	}
	v, err := strconv.ParseUint(string(digits), 10, 64)
	d.check(err)
	return v
}

// hex reads n lower-case hex digits.
func (d *decoder) hex(n int) []byte {
	digits := d.take(n)
	if bytes.ContainsAny(digits, "ABCDEF") {
		d.bad = true
	}
	out := make([]byte, len(digits)/2)
	_, err := hex.Decode(out, digits)
	d.check(err)
	return out
}

func (d *decoder) time() time.Time {
	t, err := time.Parse(time.RFC3339Nano, string(d.until('"')))
	d.check(err)
	return t
}

// text reads one JSON string.
func (d *decoder) text() string {
	n := stringEnd(d.rest)
	raw := d.take(n)
	var s string
	if n == 0 || !utf8.Valid(raw) {
		d.bad = true
		return ""
	}
	d.check(json.Unmarshal(raw, &s))
	return s
}

// stringEnd returns the length of the JSON string at the start of b, 0 if there is none.
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
