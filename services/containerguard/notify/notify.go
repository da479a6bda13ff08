// Package notify tells a webhook what the guard did. It never makes an action wait:
// messages stand in a bounded queue, are sent one after the other, and are tried
// again with growing pauses while the other side may still take them. Each is in a
// file until it was sent or given up, so it outlives a guard that is stopped or
// killed; one that is killed as it sends sends it again.
//
// Redirects are not followed: the webhook is named by whoever runs the daemon, and
// may be on a private network, but its server does not choose where else the guard
// speaks to. An answer of 3xx is a failure.
package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/ironpost/ironpost/services/containerguard/folder"
)

// What bounds the queue and the attempts.
const (
	queueSize      = 256
	attempts       = 6
	requestTimeout = 10 * time.Second
	firstPause     = time.Second
	lastPause      = time.Minute
	stopTimeout    = 3 * time.Second // for what is queued when the guard stops
	maxText        = 3000            // Slack shows no more of a text
	maxSent        = 1024            // names remembered, for alerts that come again
	maxAnswer      = 4 << 10
)

// ErrFull: the message is not sent. ErrNotKept: it is, unless the guard ends before.
var (
	ErrFull     = errors.New("too many notifications wait")
	ErrNotSaved = errors.New("notification is not on disk and is lost if the guard ends before it is sent")
)

// Message is the JSON that is sent. Text alone is what Slack, Mattermost and others
// show; the rest is for programs.
type Message struct {
	Text     string          `json:"text"`
	ID       string          `json:"id"` // the same however often it is sent
	Time     time.Time       `json:"time"`
	Host     string          `json:"host"`
	Policy   string          `json:"policy"`
	DryRun   bool            `json:"dry_run,omitempty"`
	Alert    json.RawMessage `json:"alert,omitempty"`
	Outcomes []Outcome       `json:"outcomes"`
}

// Outcome is one action and what came of it.
type Outcome struct {
	Kind   string `json:"kind"`
	Target string `json:"target"`
	Phase  string `json:"phase"`
	Reason string `json:"reason,omitempty"`
}

// DoneFunc is called once for every message that was sent or given up, with the note
// that came with it and nil if the webhook took it, and how long that took. What it
// does should be lasting when it returns: then the message is forgotten.
type DoneFunc func(note json.RawMessage, err error, took time.Duration)

// queued is a message that waits, as its file holds it.
type queued struct {
	At   time.Time       `json:"at"`
	Body json.RawMessage `json:"body"`
	Note json.RawMessage `json:"note"`
	name string
}

// Notifier sends messages. Send and SetURL may be called concurrently, Open, Run and
// Close once, in this order.
type Notifier struct {
	client     *http.Client
	done       DoneFunc
	queue      chan queued
	url        atomic.Pointer[string]
	retryDelay func(n int) time.Duration
	outbox     *folder.Folder // nil before Open

	mu      sync.Mutex
	pending map[string]*pendingWrite // by name: what is queued or being sent
	sent    []string                 // names of what was sent last, oldest first
}

// pendingWrite is a message on its way to the disk.
type pendingWrite struct {
	over chan struct{} // closed when err is set
	err  error
}

// New returns a notifier to url, "" for nowhere. It starts nothing.
func New(url string, done DoneFunc) *Notifier {
	n := &Notifier{
		client: &http.Client{
			Timeout:       requestTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		done:       done,
		queue:      make(chan queued, queueSize),
		retryDelay: pauseBefore,
		pending:    map[string]*pendingWrite{},
	}
	n.SetURL(url)
	return n
}

// SetURL changes where messages go, also those that wait.
func (n *Notifier) SetURL(url string) { n.url.Store(&url) }

// Configured reports whether there is a webhook.
func (n *Notifier) Configured() bool { return *n.url.Load() != "" }

// Pending returns how many messages are queued or being sent.
func (n *Notifier) Pending() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.pending)
}

// Send queues m, and note for Done. It never waits for the webhook, and returns when
// m is on disk. A message whose id is queued already, or was among the last that were
// sent, is not queued again. An error is ErrFull, and then Done is not called, or
// ErrNotKept.
func (n *Notifier) Send(m Message, note any) error {
	q, err := newQueued(m, note)
	if err != nil {
		return fmt.Errorf("encode notification: %w", err)
	}
	w, first, err := n.reserve(q.name)
	if err != nil {
		return err
	}
	if first { // outside mu: others wait for their own file only
		w.err = n.write(q)
		close(w.over)
		n.queue <- q // has room: no more than waiting
	}
	<-w.over
	return w.err
}

// reserve takes a place in the queue, and tells whether it was not taken yet.
func (n *Notifier) reserve(name string) (w *pendingWrite, first bool, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if w := n.pending[name]; w != nil {
		return w, false, nil
	}
	if slices.Contains(n.sent, name) {
		return alreadySaved(), false, nil
	}
	if len(n.pending) >= queueSize {
		return nil, false, ErrFull
	}
	w = &pendingWrite{over: make(chan struct{})}
	n.pending[name] = w
	return w, true, nil
}

// alreadySaved is what needs no writing any more.
func alreadySaved() *pendingWrite {
	w := &pendingWrite{over: make(chan struct{})}
	close(w.over)
	return w
}

func newQueued(m Message, note any) (queued, error) {
	m.Text = safeText(m.Text)
	if m.Outcomes == nil {
		m.Outcomes = []Outcome{}
	}
	body, err := json.Marshal(m)
	if err != nil {
		return queued{}, err
	}
	about, err := json.Marshal(note)
	return queued{At: time.Now(), Body: body, Note: about, name: fileName(m.ID)}, err
}

// Run sends until ctx ends, and then for at most 3 s what is queued. What is left
// waits for the next start.
func (n *Notifier) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		select {
		case q := <-n.queue:
			n.deliver(ctx, q)
		case <-ctx.Done():
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	for last.Err() == nil {
		select {
		case q := <-n.queue:
			n.deliver(last, q)
		default:
			return nil
		}
	}
	return nil
}

// deliver tries until the webhook took q, will not take it, or ctx ended.
func (n *Notifier) deliver(ctx context.Context, q queued) {
	var err error
	for try := range attempts {
		var wait time.Duration
		var final bool
		if wait, final, err = n.post(ctx, q.Body); err == nil || final {
			break
		}
		if try == attempts-1 || !sleep(ctx, max(wait, n.retryDelay(try))) {
			break
		}
	}
	if err != nil && ctx.Err() != nil {
		n.queue <- q // has room: it is waiting still
		return
	}
	n.done(q.Note, err, time.Since(q.At))
	n.remove(q, err == nil)
}

// post tries once. wait is what the webhook asked for, final says that another try
// is in vain. The errors never hold the URL, which is a secret with some services.
func (n *Notifier) post(ctx context.Context, body []byte) (wait time.Duration, final bool, err error) {
	to := *n.url.Load()
	if to == "" {
		return 0, true, errors.New("no webhook is configured: container.webhook_url")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return 0, true, errors.New("the webhook's URL cannot be used")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "ironpost")
	resp, err := n.client.Do(req)
	if err != nil {
		return 0, false, fmt.Errorf("webhook: %w", withoutURL(err))
	}
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer) // so that the connection can be used again
	_ = resp.Body.Close()
	if resp.StatusCode/100 == 2 {
		return 0, true, nil
	}
	err = fmt.Errorf("webhook answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	if resp.StatusCode/100 == 3 {
		return 0, true, fmt.Errorf("%w: redirects are not followed", err)
	}
	return retryAfter(resp), !isTemporary(resp.StatusCode), err
}

// isTemporary reports whether a later try may have another answer.
func isTemporary(code int) bool {
	return code >= 500 || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout
}

// retryAfter reads the seconds of RFC 9110, section 10.2.3; a date is not heeded.
func retryAfter(resp *http.Response) time.Duration {
	n, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 16)
	if err != nil {
		return 0
	}
	return min(time.Duration(n)*time.Second, lastPause)
}

func withoutURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// pauseBefore doubles from 1 s to a minute, less up to a half.
func pauseBefore(n int) time.Duration {
	d := min(firstPause<<min(n, 16), lastPause)
	return d/2 + rand.N(d/2+1) //nolint:gosec // spreads retries, no secret
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// safeText makes a text with parts from outside harmless to those who show it: no
// controls, no markup that mentions people or hides where a link goes
// (Slack: escape &, < and >), and not too long.
func safeText(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case b.Len() > maxText:
			b.WriteString("…")
			return b.String()
		case r == '&':
			b.WriteString("&amp;")
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '@': // @channel, @here
			b.WriteString("@\u2060")
		case r == '\n' || unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteByte(' ')
		}
	}
	return b.String()
}
