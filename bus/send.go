package bus

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ironpost/ironpost/event"
)

// flight is Send's window: what was sent and not yet seen stored. A slot is free,
// on its way, or due to be sent again. The number of slots is the bound; a Send
// that finds none waits.
type flight struct {
	prefix string // of the reply subjects; slot and turn follow
	free   chan int
	sub    *nats.Subscription
	timer  *time.Timer // of the one goroutine that waits

	mu    sync.Mutex
	slots []slot
}

// slot holds one record on its way. turn tells the answers to its former records
// apart.
type slot struct {
	o     outgoing
	turn  uint64
	busy  bool
	due   bool // refused: send again
	sent  time.Time
	link  *link
	doubt doubt // since the first time it was sent
}

// resendEvery is how often a waiting Send or Flush looks for what is due.
const resendEvery = 100 * time.Millisecond

// Send hands rec to the server without waiting for it to be stored. While InFlight
// records are on their way it blocks, and sends again what was refused or not
// answered, until ctx ends. Call Flush before stopping: it alone tells that
// everything is stored. Order may change where a record has to be sent again.
func (p *Publisher) Send(ctx context.Context, rec event.Record) error {
	o, err := p.encode(rec)
	if err != nil {
		return err
	}
	if err := p.launch(); err != nil {
		return err
	}
	if !p.based {
		if err := p.settle(ctx); err != nil {
			return err
		}
	}
	if p.isKnown(o.id) {
		p.counts.duplicates.Add(1)
		return nil
	}
	i, err := p.acquire(ctx)
	if err != nil {
		return fmt.Errorf("send to %s: %w", p.cfg.Stream, err)
	}
	p.fly(i, o)
	return nil
}

// Flush returns when everything that Send took is stored, or ctx ends: then the
// rest stays in the window, and a later Flush goes on with it.
func (p *Publisher) Flush(ctx context.Context) error {
	if p.flight == nil {
		return nil
	}
	taken := make([]int, 0, p.cfg.InFlight)
	defer func() {
		for _, i := range taken {
			p.flight.free <- i // room for every slot
		}
	}()
	for range p.cfg.InFlight {
		i, err := p.acquire(ctx)
		if err != nil {
			return fmt.Errorf("flush to %s: %w", p.cfg.Stream, err)
		}
		taken = append(taken, i)
	}
	return nil
}

// launch makes the window.
func (p *Publisher) launch() error {
	if p.flight != nil {
		return nil
	}
	f := &flight{
		prefix: p.c.nc.NewInbox() + ".",
		free:   make(chan int, p.cfg.InFlight),
		slots:  make([]slot, p.cfg.InFlight),
		timer:  time.NewTimer(resendEvery),
	}
	sub, err := p.c.nc.Subscribe(f.prefix+"*.*", p.land)
	if err != nil {
		return fmt.Errorf("send to %s: %w", p.cfg.Stream, err)
	}
	for i := range p.cfg.InFlight {
		f.free <- i
	}
	f.sub, p.flight = sub, f
	return nil
}

// acquire returns a free slot.
func (p *Publisher) acquire(ctx context.Context) (int, error) {
	select {
	case i := <-p.flight.free:
		return i, nil
	default:
	}
	defer p.counts.unblock()
	for {
		p.flight.timer.Reset(resendEvery)
		select {
		case i := <-p.flight.free:
			return i, nil
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-p.flight.timer.C:
		}
		if p.c.nc.IsClosed() {
			return 0, p.c.closeReason()
		}
		p.counts.block()
		p.resend(ctx)
	}
}

// fly sends o in slot i.
func (p *Publisher) fly(i int, o outgoing) {
	f := p.flight
	now := time.Now()
	f.mu.Lock()
	s := &f.slots[i]
	*s = slot{o: o, turn: s.turn + 1, busy: true, sent: now, link: p.c.link.Load(), doubt: doubt{since: now, after: p.LastSeq()}}
	s.o.msg.Reply = f.reply(i, s.turn)
	f.mu.Unlock()
	p.transmit(i, o.msg)
}

func (p *Publisher) transmit(i int, m *nats.Msg) {
	if err := p.c.nc.PublishMsg(m); err == nil {
		return
	}
	p.flight.mu.Lock()
	defer p.flight.mu.Unlock()
	p.flight.slots[i].due = true
}

func (f *flight) reply(i int, turn uint64) string {
	b := make([]byte, 0, len(f.prefix)+24)
	b = append(b, f.prefix...)
	b = strconv.AppendInt(b, int64(i), 36)
	b = append(b, '.')
	return string(strconv.AppendUint(b, turn, 36))
}

// parse is the reverse of reply.
func (f *flight) parse(subject string) (i int, turn uint64, ok bool) {
	first, second, ok := strings.Cut(strings.TrimPrefix(subject, f.prefix), ".")
	if !ok {
		return 0, 0, false
	}
	n, err := strconv.ParseUint(first, 36, 31)
	if err != nil || int(n) >= len(f.slots) {
		return 0, 0, false
	}
	turn, err = strconv.ParseUint(second, 36, 64)
	return int(n), turn, err == nil
}

// land takes an answer. It runs on the connection's goroutine.
func (p *Publisher) land(m *nats.Msg) {
	i, turn, ok := p.flight.parse(m.Subject)
	if !ok {
		return
	}
	a, err := parseAck(m.Data)
	if err == nil && a.Error == nil {
		p.done(i, turn, &a)
		return
	}
	p.flight.mu.Lock()
	defer p.flight.mu.Unlock()
	if s := &p.flight.slots[i]; s.busy && s.turn == turn {
		s.due = true
	}
}

// done frees slot i. Without an answer it was found in the stream.
func (p *Publisher) done(i int, turn uint64, a *ack) {
	f := p.flight
	f.mu.Lock()
	s := &f.slots[i]
	if !s.busy || s.turn != turn {
		f.mu.Unlock()
		return
	}
	*s = slot{turn: turn}
	f.mu.Unlock()
	if a == nil {
		p.counts.duplicates.Add(1)
	} else {
		p.counts.stored(*a)
	}
	f.free <- i // room for every slot
}

// resend sends again what was refused, and what nobody answered in time.
func (p *Publisher) resend(ctx context.Context) {
	due, doubt := p.flight.overdue()
	if len(due) == 0 {
		return
	}
	looked := age(doubt.since) >= p.window/2
	if looked {
		if _, err := p.readBack(ctx, doubt.after, nil); err != nil {
			return // the next look comes soon
		}
	}
	for _, i := range due {
		p.flyAgain(i, looked)
	}
}

func (p *Publisher) flyAgain(i int, looked bool) {
	f := p.flight
	f.mu.Lock()
	s := &f.slots[i]
	if !s.busy {
		f.mu.Unlock()
		return
	}
	o, turn := s.o, s.turn
	s.due, s.sent, s.link = false, time.Now(), p.c.link.Load()
	if looked {
		s.doubt.since = s.sent
	}
	f.mu.Unlock()
	if looked && p.isKnown(o.id) {
		p.done(i, turn, nil)
		return
	}
	p.counts.retries.Add(1)
	p.transmit(i, o.msg)
}

// overdue returns the slots to send again. Of the doubts about them it returns the
// oldest time and the lowest sequence.
func (f *flight) overdue() (due []int, all doubt) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.slots {
		s := &f.slots[i]
		if !s.busy || !s.due && s.link.ctx.Err() == nil && time.Since(s.sent) < callTimeout {
			continue
		}
		due = append(due, i)
		if len(due) == 1 {
			all = s.doubt
			continue
		}
		all.after = min(all.after, s.doubt.after)
		if s.doubt.since.Before(all.since) {
			all.since = s.doubt.since
		}
	}
	return due, all
}
