package audit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrIntact is returned where there is nothing to accept.
var ErrIntact = errors.New("the audit trail is intact")

// Acceptance is an operator's word that the problems of the trail before record Seq are
// known. Problems counts them.
type Acceptance struct {
	Seq      uint64    `json:"seq"`
	Time     time.Time `json:"time"`
	By       string    `json:"by"`
	Reason   string    `json:"reason"`
	Problems int       `json:"problems"`
}

// The most bytes of what an operator says.
const (
	maxBy     = 256
	maxReason = 4 << 10
)

// Accept appends a record that settles every problem of the trail so far: Verify then
// reports them as accepted, and does so only as long as all that stands before that record
// stays as it is, byte by byte. It reads the whole trail. It returns ErrIntact if there is no
// problem, ErrTampered if there is one that Open has not declared yet.
func (t *Trail) Accept(ctx context.Context, by, reason string) (Acceptance, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := &chain{}
	if _, err := t.readAgain(ctx, c); err != nil {
		return Acceptance{}, err
	}
	switch problems := len(c.problems) + c.unlisted; {
	case c.fresh != nil || c.last != t.head:
		return Acceptance{}, ErrTampered
	case problems == 0:
		return Acceptance{}, ErrIntact
	default:
		a := Acceptance{Time: time.Now(), By: clamp(by, maxBy), Reason: clamp(reason, maxReason), Problems: problems}
		head, err := t.append(a.Time, []Record{{Kind: Accepted, By: a.By, Reason: a.Reason, State: c.state()}})
		a.Seq = head.Seq
		return a, err
	}
}

// readAgain reads all segments as Verify does.
func (t *Trail) readAgain(ctx context.Context, c *chain) (at place, err error) {
	names, err := segments(t.dir)
	if err != nil {
		return place{}, err
	}
	for i, name := range names {
		if at, err = c.file(ctx, t.dir, name, i == len(names)-1); err != nil {
			return place{}, fmt.Errorf("audit trail: %w", err)
		}
	}
	c.end(at)
	return at, nil
}

func clamp(s string, most int) string {
	s = strings.ToValidUTF8(s, "?")
	return strings.ToValidUTF8(s[:min(len(s), most)], "")
}
