package notify

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/backoff"
	"github.com/ironpost/ironpost/internal/folder"
	"github.com/ironpost/ironpost/internal/task"
)

const (
	maxPending  = 256 // messages; the next is refused with ErrFull
	maxAttempts = 6   // of one message that the webhook refuses or does not answer
	maxAge      = 24 * time.Hour
	senders     = 4 // requests at a time: while up to three hang, other messages are still sent
	firstDelay  = time.Second
	lastDelay   = time.Minute
	stopTimeout = 3 * time.Second // for messages that are due when the guard stops
	maxSent     = 1024            // ids remembered, for alerts that are delivered again
)

// ErrFull: the message is not sent. ErrNotSaved: it is sent, unless the guard ends before.
var (
	ErrFull     = errors.New("too many notifications wait")
	ErrNotSaved = errors.New("notification is not on disk and is lost if the guard ends before it is sent")
)

// Message is the JSON that is sent. Slack, Mattermost and others show Text alone; the
// rest is for programs.
type Message struct {
	Text     string          `json:"text"`
	ID       string          `json:"id"` // the same for every attempt
	Time     time.Time       `json:"time"`
	Host     string          `json:"host"`
	Policy   string          `json:"policy"`
	Test     bool            `json:"test,omitempty"` // there is no alert: an operator tries out notifications
	Alert    json.RawMessage `json:"alert,omitempty"`
	Outcomes []Outcome       `json:"outcomes"`
}

// Outcome is one step and how it ended.
type Outcome struct {
	Kind   string `json:"kind"`
	Target string `json:"target"`
	Phase  string `json:"phase"`
	Reason string `json:"reason,omitempty"`
}

// DoneFunc is called once for every message that was sent or given up, with the note
// given to Send, nil or the last error, and the time since Send. Its effect must be
// lasting when it returns, for then the message is removed. It is called concurrently.
type DoneFunc func(note json.RawMessage, err error, took time.Duration)

// Notifier sends messages. Send, SetURL, Configured, Pending and Test may be called
// concurrently; Open, Run and Close once, in this order.
type Notifier struct {
	client     *http.Client
	done       DoneFunc
	retryDelay func(attempt int) time.Duration
	outbox     *folder.Folder // nil before Open

	mu          sync.Mutex
	destination *destination
	pending     map[string]*queued // by file name: waiting or being sent
	sent        []string           // file names of the last sent messages, oldest first
	changed     chan struct{}      // closed when senders must call next again
}

// destination is a webhook's URL, and how it answers.
type destination struct {
	url      string
	replaced context.Context // ends requests under way to a URL that SetURL replaced
	replace  context.CancelFunc
	failures int       // in a row to reach the webhook
	paused   time.Time // no request before
}

// queued is a message that waits. The exported fields are its file.
type queued struct {
	At   time.Time       `json:"at"`
	Body json.RawMessage `json:"body"`
	Note json.RawMessage `json:"note"`

	name     string
	saved    chan struct{} // closed when saveErr is set
	saveErr  error
	attempts int
	due      time.Time // of the next attempt
	busy     bool      // being written or sent
}

// New returns a notifier to url, "" for none. It starts nothing.
func New(url string, done DoneFunc) *Notifier {
	n := &Notifier{
		client: &http.Client{
			Timeout:       requestTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		done:       done,
		retryDelay: func(attempt int) time.Duration { return backoff.Delay(attempt, firstDelay, lastDelay) },
		pending:    map[string]*queued{},
		changed:    make(chan struct{}),
	}
	n.destination = newDestination(url)
	return n
}

func newDestination(url string) *destination {
	ctx, cancel := context.WithCancel(context.Background())
	return &destination{url: url, replaced: ctx, replace: cancel}
}

// SetURL changes where messages are sent. Everything that waits is sent to the new URL
// at once, and requests to the old one are ended.
func (n *Notifier) SetURL(url string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.destination.url == url {
		return
	}
	n.destination.replace()
	n.destination = newDestination(url)
	for _, q := range n.pending {
		q.attempts, q.due = 0, time.Time{}
	}
	n.wakeSenders()
}

// Configured reports whether there is a webhook.
func (n *Notifier) Configured() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.destination.url != ""
}

// Pending returns how many messages wait or are being sent.
func (n *Notifier) Pending() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.pending)
}

// Send queues m, and note for the DoneFunc. It never waits for the webhook, and returns
// when m is on disk. A message whose id waits already, or was among the last that were
// sent, is not queued again. The error is ErrFull, then the DoneFunc is not called, or
// ErrNotSaved.
func (n *Notifier) Send(m Message, note any) error {
	q, err := newQueued(m, note)
	if err != nil {
		return fmt.Errorf("encode notification: %w", err)
	}
	n.mu.Lock()
	known, sent, full := n.pending[q.name], slices.Contains(n.sent, q.name), len(n.pending) >= maxPending
	if known == nil && !sent && !full {
		n.pending[q.name] = q
	}
	n.mu.Unlock()
	switch {
	case known != nil:
		<-known.saved
		return known.saveErr
	case sent:
		return nil
	case full:
		return ErrFull
	}
	q.saveErr = n.write(q) // outside mu: callers wait for their own file only
	close(q.saved)
	n.mu.Lock()
	defer n.mu.Unlock()
	q.busy = false
	n.wakeSenders()
	return q.saveErr
}

func newQueued(m Message, note any) (*queued, error) {
	m.Text = safeText(m.Text)
	if m.Outcomes == nil {
		m.Outcomes = []Outcome{}
	}
	body, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(note)
	return &queued{At: time.Now(), Body: body, Note: encoded, name: fileName(m.ID), saved: make(chan struct{}), busy: true}, err
}

// Run sends until ctx ends, and then, for at most 3 s, the messages that are due. The rest
// waits for the next start.
func (n *Notifier) Run(ctx context.Context) error {
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(stopTimeout, cancel) })()
	g := task.New(sending)
	for range senders {
		g.Go("notification sender", func(sending context.Context) error {
			n.sendLoop(ctx, sending)
			return nil
		})
	}
	return g.Wait()
}

// sendLoop sends messages that are due until sending ends, or until ctx has ended and none
// is due.
func (n *Notifier) sendLoop(ctx, sending context.Context) {
	for sending.Err() == nil {
		q, to, wait, changed := n.next(time.Now())
		if q != nil {
			n.attempt(sending, q, to)
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// next takes the message that has been due for longest, and the webhook to send it to.
// Without one it returns how long to wait, unless changed is closed before.
func (n *Notifier) next(now time.Time) (q *queued, to *destination, wait time.Duration, changed <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	busy := false
	for _, other := range n.pending {
		busy = busy || other.busy
		if !other.busy && (q == nil || cmp.Or(other.due.Compare(q.due), other.At.Compare(q.At)) < 0) {
			q = other
		}
	}
	switch to = n.destination; {
	case q == nil || to.failures > 0 && busy: // after a failure one request at a time tries whether the webhook is back
		return nil, nil, lastDelay, n.changed
	case to.paused.After(now) || q.due.After(now):
		return nil, nil, max(to.paused.Sub(now), q.due.Sub(now)), n.changed
	}
	q.busy = true
	return q, to, 0, nil
}

// attempt sends q once. It then removes q, or sets when q is due again.
func (n *Notifier) attempt(ctx context.Context, q *queued, to *destination) {
	requestCtx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(to.replaced, cancel)
	failure := n.post(requestCtx, to.url, q.Body)
	stop()
	cancel()
	if n.requeue(ctx, q, to, failure) {
		return
	}
	var err error
	if failure != nil {
		err = failure.err
	}
	n.done(q.Note, err, time.Since(q.At))
	n.remove(q, err == nil)
}

// requeue records how an attempt ended and reports whether q is sent again.
func (n *Notifier) requeue(ctx context.Context, q *queued, to *destination, failure *failure) (again bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	defer n.wakeSenders()
	if failure == nil {
		to.failures = 0
		return false
	}
	if ctx.Err() != nil || to.replaced.Err() != nil { // stopping, or sent to the new URL next
		q.busy = false
		return true
	}
	if failure.unavailable {
		to.paused = time.Now().Add(max(failure.wait, n.retryDelay(to.failures)))
		to.failures++
	} else {
		to.failures = 0 // the webhook is reachable
	}
	if !failure.limited {
		q.attempts++
	}
	if failure.final || q.attempts >= maxAttempts || time.Since(q.At) > maxAge {
		return false
	}
	q.due = time.Now().Add(max(failure.wait, n.retryDelay(max(0, q.attempts-1))))
	q.busy = false
	return true
}

// remove forgets a message that was sent or given up. If its file cannot be removed it
// is sent again after the next start.
func (n *Notifier) remove(q *queued, sent bool) {
	if n.outbox != nil {
		_ = n.outbox.Remove(q.name) // while it is pending, so that no other Send writes it
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.pending, q.name)
	if sent {
		n.sent = append(n.sent, q.name)
		n.sent = n.sent[max(0, len(n.sent)-maxSent):]
	}
	n.wakeSenders()
}

// wakeSenders makes every sender call next again. mu is held.
func (n *Notifier) wakeSenders() {
	close(n.changed)
	n.changed = make(chan struct{})
}

func fileName(id string) string { return event.ID(id) + ".json" }
