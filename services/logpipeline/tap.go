package logpipeline

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ironpost/ironpost/event"
)

// VerbTap is the verb that takes a TapRequest and answers with a TapReply.
const VerbTap = "tap"

const (
	maxTaps = 4
	// TapLease is how long a tap is kept that nobody asks for its lines.
	TapLease = 10 * time.Second
	// A tap holds so many lines, and bytes of them, until it is asked. What comes then is counted and left out.
	maxTapLines = 1000
	maxTapBytes = 256 << 10
	// maxTapText bounds the settings of a request.
	maxTapText = 1024
	// Of a line that is larger than maxTapBytes by itself, so many fields are shown, and so many bytes of the name and of the value of each.
	maxShownFields, maxShownName, maxShownValue = 64, 64, 512
)

// TapRequest opens a tap if ID is empty, asks it for the lines since the last time, or ends it.
type TapRequest struct {
	ID string `json:"id,omitempty"`
	// Source is an input as status names it, a file, or a shell pattern of either; "" is all. Format is that of the lines. They are of the
	// request that opens the tap.
	Source string `json:"source,omitempty"`
	Format string `json:"format,omitempty"`
	End    bool   `json:"end,omitempty"`
}

// TapReply is lines that were decoded since the last request.
type TapReply struct {
	ID      string            `json:"id"`
	Lines   []json.RawMessage `json:"lines"`   // a TappedLine each
	Dropped uint64            `json:"dropped"` // further lines that there was no room for
}

// TappedLine is one line with the fields that rules see.
type TappedLine struct {
	Received time.Time      `json:"received"`
	Input    string         `json:"input"`
	Format   string         `json:"format"`
	Fields   map[string]any `json:"fields"`
	// Cut says that the line is too large to show all of its fields, or all of them whole.
	Cut bool `json:"cut,omitempty"`
}

// encode returns the line as JSON, at most maxTapBytes of it.
func (l TappedLine) encode() (json.RawMessage, error) {
	text, err := json.Marshal(l)
	if err != nil || len(text) <= maxTapBytes {
		return text, err
	}
	l.Cut = true
	whole := l.Fields
	l.Fields = make(map[string]any, maxShownFields)
	for _, name := range slices.Sorted(maps.Keys(whole)) {
		if len(l.Fields) == maxShownFields {
			break
		}
		value, isText := whole[name].(string)
		if !isText {
			one, _ := json.Marshal(whole[name]) // all of them could be
			value = string(one)
		}
		l.Fields[event.Shorten(name, maxShownName)] = event.Shorten(value, maxShownValue)
	}
	return json.Marshal(l)
}

// taps are the operators who watch lines. The zero value has none. The methods may be called concurrently.
type taps struct {
	open atomic.Int32 // how many, so that a line without any costs nothing
	mu   sync.Mutex
	list []*tap
}

// tap is what one operator has not yet asked for.
type tap struct {
	id             string
	source, format string
	until          time.Time // its lease
	lines          []json.RawMessage
	bytes          int
	dropped        uint64
}

func (t *tap) wants(in *input) bool {
	if t.format != "" && t.format != string(in.Format) {
		return false
	}
	for _, name := range []string{in.from.String(), in.origin.Source} {
		if t.source == "" || t.source == name || globs(t.source, name) {
			return true
		}
	}
	return false
}

func (t *tap) full() bool { return len(t.lines) >= maxTapLines || t.bytes >= maxTapBytes }

// offer gives a decoded line to the taps that want it and have room. It waits for nothing but another call.
func (t *taps) offer(in *input, received time.Time) {
	if t.open.Load() == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire(time.Now())
	var text json.RawMessage
	for _, to := range t.list {
		switch {
		case !to.wants(in):
			continue
		case to.full():
			to.dropped++
			continue
		case text == nil:
			var err error
			line := TappedLine{Received: received.UTC(), Input: in.from.String(), Format: string(in.Format), Fields: in.Fields.Map()}
			if text, err = line.encode(); err != nil {
				return // a number that JSON does not have
			}
		}
		if to.bytes+len(text) > maxTapBytes && to.bytes > 0 {
			to.dropped++
			continue
		}
		to.lines, to.bytes = append(to.lines, text), to.bytes+len(text)
	}
}

// expire removes the taps that nobody asks. t.mu is held.
func (t *taps) expire(now time.Time) {
	t.list = slices.DeleteFunc(t.list, func(one *tap) bool { return now.After(one.until) })
	t.open.Store(int32(len(t.list)))
}

// answer opens, asks or ends a tap.
func (t *taps) answer(request []byte, now time.Time) (TapReply, error) {
	var r TapRequest
	if err := json.Unmarshal(request, &r); err != nil {
		return TapReply{}, fmt.Errorf("request for lines: %w", err)
	}
	if problem := checkPattern(r.Source); problem != "" || len(r.Source) > maxTapText || len(r.Format) > maxTapText {
		return TapReply{}, fmt.Errorf("the source %.64q is no pattern, or too long", r.Source)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.expire(now)
	t.expire(now)
	if r.ID == "" {
		if len(t.list) >= maxTaps {
			return TapReply{}, fmt.Errorf("%d operators watch lines already: end one of them", maxTaps)
		}
		r.ID = rand.Text()
		t.list = append(t.list, &tap{id: r.ID, source: r.Source, format: r.Format, until: now.Add(TapLease)})
		return TapReply{ID: r.ID, Lines: []json.RawMessage{}}, nil
	}
	i := slices.IndexFunc(t.list, func(one *tap) bool { return one.id == r.ID })
	if i < 0 {
		return TapReply{}, errNoTap
	}
	one := t.list[i]
	reply := TapReply{ID: one.id, Lines: append([]json.RawMessage{}, one.lines...), Dropped: one.dropped}
	one.lines, one.bytes, one.dropped, one.until = nil, 0, 0, now.Add(TapLease)
	if r.End {
		one.until = now.Add(-1)
	}
	return reply, nil
}

// errNoTap is the answer to whoever asked for too long nothing.
var errNoTap = errors.New("these lines are not watched any more: ask anew")
