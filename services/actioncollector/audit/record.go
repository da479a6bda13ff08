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

// maxLine is the most bytes a line may have without its line feed: the largest action and room for the
// fields around it.
const maxLine = event.MaxSize + 8<<10

// The parts of a line that never vary.
const (
	hashOpen  = `,"hash":"`
	hashClose = `"}`
	hashTail  = len(hashOpen) + hexHash + len(hashClose)
	hexHash   = 2 * sha256.Size
)

// Hash is the SHA-256 of a record. The zero Hash is the predecessor of the first record.
type Hash [sha256.Size]byte

// String returns h in lower-case hex.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText encodes h as String does.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads 64 lower-case hex digits. Upper case is refused, because a second spelling of a hash
// would be a change that its record does not show.
func (h *Hash) UnmarshalText(b []byte) error {
	if len(b) != hexHash || bytes.ContainsAny(b, "ABCDEF") {
		return errors.New("hash is not 64 lower-case hex digits")
	}
	_, err := hex.Decode(h[:], b)
	return err
}

// Kind is the kind of a record.
type Kind string

// The kinds of record.
const (
	Action   Kind = "action"   // one action, as it was published on the bus
	Break    Kind = "break"    // the trail before this record was found damaged, and why
	Accepted Kind = "accepted" // an operator knows the damage before this record; State is the trail up to here
	Pruned   Kind = "pruned"   // the trail begins at another record than 1: older ones were removed by retention
)

// Entry is an action to append: its id, its sequence in the stream and its JSON.
type Entry struct {
	ID        string
	StreamSeq uint64
	Action    json.RawMessage
}

// Record is one line of a trail. ID, StreamSeq and Action are set in an Action record, Reason in a Break
// record, By, Reason and State in an Accepted record, Begin in a Pruned record.
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
	Begin     beginning
	Hash      Hash
}

// Head identifies the newest record of a trail. Seq 0 is the head of an empty trail. First is the oldest
// record that the trail may begin with; 0 means 1. A trail that begins later was cut at its start.
type Head struct {
	Seq   uint64 `json:"seq"`
	Hash  Hash   `json:"hash"`
	First uint64 `json:"first,omitempty"`
}

// encode returns the line of r with its line feed, and sets r.Hash. It refuses an action that is not JSON
// and a line longer than maxLine.
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

// body returns the bytes of the line that are hashed.
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
	case Pruned:
		fmt.Fprintf(&b, `"first":%d,"before":"%s","digest":"%x"`, r.Begin.first, r.Begin.before, r.Begin.digest)
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

// chainPrefix returns the start of the line of record seq up to its time: the part that follows from the
// record before.
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
