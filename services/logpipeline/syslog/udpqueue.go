package syslog

import "sync"

// maxQueues is how many senders have a queue of their own; further ones share one.
const maxQueues = 1024

// datagramQueues hold the records of datagrams that wait to be written, a queue for each sender. A queue may take as many bytes
// as are free: one sender that floods gets half of them, of n each gets a part in n+1. So each sender that does not flood
// has room. Any goroutine may call the methods.
type datagramQueues struct {
	transport string // UDP or Unix
	mu        sync.Mutex
	used      int                       // bytes of all queues
	senders   map[string]*datagramQueue // by sequenceName
	turns     []*datagramQueue          // those with records, the next one first
	arrived   chan struct{}             // a token when there are records, or no more will come
	closed    bool
}

type datagramQueue struct {
	sender  string
	records [][]byte
	bytes   int
}

func newDatagramQueues(transport string) *datagramQueues {
	return &datagramQueues{transport: transport, senders: map[string]*datagramQueue{}, arrived: make(chan struct{}, 1)}
}

// add queues the record that encode returns, of about size bytes, or returns false if the share of the sender in limit is
// used up.
func (q *datagramQueues) add(sender string, size, limit int, encode func() []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	of, known := q.senders[sender]
	if !known && len(q.senders) >= maxQueues {
		sender = othersOf(q.transport)
		of, known = q.senders[sender]
	}
	held := 0
	if known {
		held = of.bytes
	}
	if held+size > limit-q.used {
		return false
	}
	if !known {
		of = &datagramQueue{sender: sender}
		q.senders[sender] = of
		q.turns = append(q.turns, of)
	}
	record := encode()
	of.records = append(of.records, record)
	of.bytes += len(record)
	q.used += len(record)
	q.signal()
	return true
}

// take appends the records of the next sender to buf until it has size bytes; there are n. ok is false once the queues are
// closed and empty.
func (q *datagramQueues) take(buf []byte, size int) (sender string, out []byte, n int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.turns) == 0 {
		return "", buf, 0, !q.closed
	}
	of := q.turns[0]
	q.turns = q.turns[1:]
	for n < len(of.records) && (n == 0 || len(buf)+len(of.records[n]) <= size) {
		buf = append(buf, of.records[n]...)
		n++
	}
	of.records = of.records[n:]
	of.bytes -= len(buf)
	q.used -= len(buf)
	if len(of.records) > 0 {
		q.turns = append(q.turns, of)
	} else {
		delete(q.senders, of.sender)
	}
	return of.sender, buf, n, true
}

// close lets take return false once it has returned what is queued.
func (q *datagramQueues) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.signal()
}

// signal wakes the goroutine that takes. q.mu is held.
func (q *datagramQueues) signal() {
	select {
	case q.arrived <- struct{}{}:
	default: // it will see the records
	}
}
