package bus

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// maxBacklogBytes bounds the messages of a backlog.
	maxBacklogBytes = 32 << 20
	// fetchPause is after how long without a delivery no more is expected soon, although the stream has some.
	fetchPause = time.Second
	// turnEvery is how many deliveries are taken for one of the rank that was served the longest ago: none waits for ever.
	turnEvery = 16
)

// backlog holds deliveries that wait for a handler, and gives out those of the highest rank first, in turn by their sources. Those that
// are not urgent wait while the stream has more that fit: one of them may be. Its methods may be called concurrently.
type backlog struct {
	most   int // deliveries, those in hand included
	urgent int // the lowest rank that waits for nothing

	mu       sync.Mutex
	ranks    map[int]*rank
	held     map[uint64]*heldMessage // by the sequence in the stream
	bytes    int
	inHand   int
	taken    int
	fetching time.Time     // until then more is on its way; zero: none is
	changed  chan struct{} // closed at every change
	closed   bool
}

// rank holds the deliveries of one rank.
type rank struct {
	sources []string // with deliveries, the next one first
	queues  map[string][]*heldMessage
	served  int // the number of the take that was its last
}

// heldMessage is a message that waits: its newest delivery, which alone can be acknowledged.
type heldMessage struct {
	*nats.Msg
	sequence uint64 // in the stream
}

func newBacklog(most, urgent int) *backlog {
	return &backlog{most: most, urgent: urgent, ranks: map[int]*rank{}, held: map[uint64]*heldMessage{}, changed: make(chan struct{})}
}

// push adds a delivery of the message with a sequence in the stream; more says that the stream has further ones. It returns an older
// delivery of the message, whose place m takes, and m itself if b is closed.
func (b *backlog) push(m *nats.Msg, sequence uint64, of int, source string, more bool) (dropped *nats.Msg) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return m
	}
	if waits := b.held[sequence]; waits != nil {
		b.bytes += m.Size() - waits.Size()
		dropped, waits.Msg = waits.Msg, m
		return dropped
	}
	r := b.ranks[of]
	if r == nil {
		r = &rank{queues: map[string][]*heldMessage{}}
		b.ranks[of] = r
	}
	if len(r.queues[source]) == 0 {
		r.sources = append(r.sources, source)
	}
	h := &heldMessage{Msg: m, sequence: sequence}
	r.queues[source] = append(r.queues[source], h)
	b.held[sequence] = h
	b.bytes += m.Size()
	b.fetching = time.Time{}
	if n, _ := b.room(); more && n > 0 {
		b.fetching = time.Now().Add(fetchPause)
	}
	b.notify()
	return nil
}

// room returns how many more deliveries fit, and their most bytes: 0 if the largest message may not. mu is held.
func (b *backlog) room() (n, size int) {
	size = maxBacklogBytes - b.bytes
	if size < 2*maxMessage { // the server counts subjects, too
		return 0, 0
	}
	return b.most - len(b.held) - b.inHand, size
}

// notify wakes those that wait. mu is held.
func (b *backlog) notify() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// take returns the next delivery to handle, nil when ctx or b ends first. done must be called when it was handled.
func (b *backlog) take(ctx context.Context) *nats.Msg {
	for {
		b.mu.Lock()
		m, wait := b.pop(time.Now())
		changed, closed := b.changed, b.closed
		b.mu.Unlock()
		if m != nil || closed {
			return m
		}
		var expired <-chan time.Time
		if wait > 0 {
			expired = time.After(wait)
		}
		select {
		case <-changed:
		case <-expired:
		case <-ctx.Done():
			return nil
		}
	}
}

// pop removes the next delivery, or returns how long those that are not urgent wait. mu is held.
func (b *backlog) pop(now time.Time) (m *nats.Msg, wait time.Duration) {
	if len(b.held) == 0 || b.closed {
		return nil, 0
	}
	held := make([]int, 0, len(b.ranks))
	for of, r := range b.ranks {
		if len(r.sources) > 0 {
			held = append(held, of)
		}
	}
	of := slices.Max(held)
	if of < b.urgent && now.Before(b.fetching) {
		return nil, b.fetching.Sub(now)
	}
	b.taken++
	if b.taken%turnEvery == 0 {
		of = slices.MinFunc(held, func(x, y int) int { return cmp.Compare(b.ranks[x].served, b.ranks[y].served) })
	}
	b.ranks[of].served = b.taken
	h := b.ranks[of].next()
	delete(b.held, h.sequence)
	b.inHand++
	b.bytes -= h.Size()
	return h.Msg, 0
}

// next removes the next delivery of r, which has some.
func (r *rank) next() *heldMessage {
	source := r.sources[0]
	queue := r.queues[source]
	r.sources = r.sources[1:]
	if len(queue) == 1 {
		delete(r.queues, source)
	} else {
		r.queues[source] = queue[1:]
		r.sources = append(r.sources, source)
	}
	return queue[0]
}

// done frees the room of a delivery that take returned.
func (b *backlog) done() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inHand--
	b.notify()
}

// awaitRoom returns how many deliveries fit, at least one, and their most bytes; 0 when stop or ctx ended first.
func (b *backlog) awaitRoom(ctx context.Context, stop <-chan struct{}) (n, size int) {
	for {
		b.mu.Lock()
		n, size := b.room()
		changed := b.changed
		b.mu.Unlock()
		if n > 0 {
			return n, size
		}
		select {
		case <-changed:
		case <-stop:
			return 0, 0
		case <-ctx.Done():
			return 0, 0
		}
	}
}

// close ends take and returns what nobody took.
func (b *backlog) close() (left []*nats.Msg) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for _, h := range b.held {
		left = append(left, h.Msg)
	}
	b.held = nil
	b.ranks = nil
	b.notify()
	return left
}
