package audit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrIntact means that there is no problem to accept.
var ErrIntact = errors.New("the audit trail is intact")

// Acceptance is the statement of an operator that the problems of the trail before record Seq are known.
// Problems is their number.
type Acceptance struct {
	Seq      uint64    `json:"seq"`
	Time     time.Time `json:"time"`
	By       string    `json:"by"`
	Reason   string    `json:"reason"`
	Problems int       `json:"problems"`
}

// The most bytes of an operator's name and reason.
const (
	maxBy           = 256
	maxAcceptReason = 4 << 10
)

// Accept appends a record that accepts every problem of the trail so far: Verify then reports them as
// accepted, for as long as no byte before that record changes. It reads the whole trail. It returns
// ErrIntact if there is no problem, ErrTampered if there is one that Open has not declared yet.
func (t *Trail) Accept(ctx context.Context, by, reason string) (Acceptance, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c, _, err := checkDir(ctx, t.dir, Head{}, 0)
	if err != nil {
		return Acceptance{}, fmt.Errorf("audit trail: %w", err)
	}
	problems := len(c.problems) + c.unlisted
	if c.undeclared != nil || c.last != t.last {
		return Acceptance{}, ErrTampered
	}
	if problems == 0 {
		return Acceptance{}, ErrIntact
	}
	a := Acceptance{Time: time.Now(), By: validPrefix(by, maxBy), Reason: validPrefix(reason, maxAcceptReason), Problems: problems}
	head, err := t.append(a.Time, []Record{{Kind: Accepted, By: a.By, Reason: a.Reason, State: c.state()}})
	if err == nil {
		a.Seq, t.lastBreak = head.Seq, time.Time{}
	}
	return a, err
}

// validPrefix returns at most limit bytes of s, without bytes that are not UTF-8.
func validPrefix(s string, limit int) string {
	s = strings.ToValidUTF8(s, "?")
	return strings.ToValidUTF8(s[:min(len(s), limit)], "")
}
