package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/ironpost/ironpost/event"
)

// maxLine is the most bytes a line may have, its line feed not counted: the
// largest action and room for the chain around it.
const maxLine = event.MaxSize + 8<<10

// Parts of a line that never vary.
const (
	hashOpen  = `,"hash":"`
	hashClose = `"}`
	hashTail  = len(hashOpen) + hexHash + len(hashClose)
	hexHash   = 2 * sha256.Size
)

// Hash is the SHA-256 that names a record. The zero Hash stands before the first.
type Hash [sha256.Size]byte

// String returns h in lower-case hex.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText encodes h as String does.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads 64 lower-case hex digits. Upper case is refused: one hash
// has one spelling.
func (h *Hash) UnmarshalText(b []byte) error {
	if len(b) != hexHash || bytes.ContainsAny(b, "ABCDEF") {
		return errors.New("hash is not 64 lower-case hex digits")
	}
	_, err := hex.Decode(h[:], b)
	return err
}

// Kind tells what a record says.
type Kind string

// The kinds of record. An Action record holds one action as it travelled on the bus. A
// Break record says that the trail before it was found damaged, and why. An Accepted record
// says who knows of that, why, and by State which trail it was.
const (
	Action   Kind = "action"
	Break    Kind = "break"
	Accepted Kind = "accepted"
)

// Entry is what a caller wants recorded: one action, with its id, its sequence in the stream
// and its JSON.
type Entry struct {
	ID        string
	StreamSeq uint64
	Action    json.RawMessage
}

// Record is one line of a trail. ID, StreamSeq and Action are filled for an
// Action record, Reason for a Break, By, Reason and State for an Accepted one.
type Record struct {
	Seq       uint64
	Prev      Hash
	Time      time.Time
	Kind      Kind
	ID        string
	StreamSeq uint64
	Action    json.RawMessage
	Reason    string
	By        string
	State     Hash
	Hash      Hash
}

// Head names the newest record of a trail. Seq 0 is the head of an empty trail.
type Head struct {
	Seq  uint64 `json:"seq"`
	Hash Hash   `json:"hash"`
}

// encode returns the line of r, its line feed included, and sets r.Hash. It
// refuses an action that is not JSON and a line larger than maxLine.
func (r *Record) encode() ([]byte, error) {
	body, err := r.body()
	if err != nil {
		return nil, err
	}
	r.Hash = sha256.Sum256(body)
	body = append(body, hashOpen...)
	body = append(body, r.Hash.String()...)
	body = append(body, hashClose...)
	if len(body) > maxLine {
		return nil, fmt.Errorf("record of %d bytes, at most %d are allowed", len(body), maxLine)
	}
	return append(body, '\n'), nil
}

func (r *Record) body() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(chainPrefix(r.Seq, r.Prev))
	b.WriteString(r.Time.UTC().Format(time.RFC3339Nano))
	fmt.Fprintf(&b, `","kind":"%s",`, r.Kind)
	switch r.Kind {
	case Break:
		b.WriteString(`"reason":`)
		b.Write(quote(r.Reason))
		return b.Bytes(), nil
	case Accepted:
		fmt.Fprintf(&b, `"by":%s,"reason":%s,"state":"%s"`, quote(r.By), quote(r.Reason), r.State)
		return b.Bytes(), nil
	}
	b.WriteString(`"id":`)
	b.Write(quote(r.ID))
	fmt.Fprintf(&b, `,"stream_seq":%d,"action":`, r.StreamSeq)
	if err := json.Compact(&b, r.Action); err != nil {
		return nil, fmt.Errorf("action %q: %w", r.ID, err)
	}
	return b.Bytes(), nil
}

// chainPrefix is how the line of record seq begins, up to its time: the part of
// a line that a reader can predict.
func chainPrefix(seq uint64, prev Hash) string {
	return `{"seq":` + strconv.FormatUint(seq, 10) + `,"prev":"` + prev.String() + `","time":"`
}

func quote(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		return []byte(`""`)
	}
	return b
}

// sealed is a line taken apart: what is hashed, the hash it carries and the one it should.
type sealed struct {
	body     []byte
	written  Hash
	computed Hash
}

var (
	errForm = errors.New("not in the form of a record")
	errHash = errors.New("does not have the hash it carries")
)

// unseal splits line, without its line feed, into body and hash. It returns
// errForm where there is no hash, errHash, with all of sealed filled, where it is another.
func unseal(line []byte) (sealed, error) {
	at := len(line) - hashTail
	if at < 0 || string(line[at:at+len(hashOpen)]) != hashOpen || string(line[len(line)-len(hashClose):]) != hashClose {
		return sealed{}, errForm
	}
	s := sealed{body: line[:at], computed: sha256.Sum256(line[:at])}
	if err := s.written.UnmarshalText(line[at+len(hashOpen) : len(line)-len(hashClose)]); err != nil {
		return s, errForm
	}
	if s.written != s.computed {
		return s, errHash
	}
	return s, nil
}

// decodeLine reads one line, without its line feed. It returns errForm or
// errHash for a line that encode did not write.
func decodeLine(line []byte) (Record, error) {
	s, err := unseal(line)
	if err != nil {
		return Record{}, err
	}
	return decodeBody(s)
}

func decodeBody(s sealed) (Record, error) {
	c := cursor{rest: s.body}
	r := Record{Hash: s.computed}
	c.literal(`{"seq":`)
	r.Seq = c.number()
	c.literal(`,"prev":"`)
	c.check(r.Prev.UnmarshalText(c.take(hexHash)))
	c.literal(`","time":"`)
	r.Time = c.time()
	c.literal(`,"kind":"`)
	r.Kind = Kind(c.until('"'))
	switch r.Kind {
	case Action:
		c.literal(`,"id":`)
		r.ID = c.text()
		c.literal(`,"stream_seq":`)
		r.StreamSeq = c.number()
		c.literal(`,"action":`)
		r.Action = c.rest
	case Break:
		c.literal(`,"reason":`)
		r.Reason = c.text()
	case Accepted:
		c.literal(`,"by":`)
		r.By = c.text()
		c.literal(`,"reason":`)
		r.Reason = c.text()
		c.literal(`,"state":"`)
		c.check(r.State.UnmarshalText(c.take(hexHash)))
		c.literal(`"`)
	default:
		c.bad = true
	}
	if c.bad || r.Seq == 0 {
		return Record{}, errForm
	}
	return r, nil
}
