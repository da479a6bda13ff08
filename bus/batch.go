package bus

import (
	"context"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

// maxBatch is how many records go in one atomic batch: they share one sync of the
// disk. More gain little and lose more when one of them is refused.
const maxBatch = 100

// batchPrefix starts the headers that make a message part of a batch. They are
// never copied on.
const batchPrefix = "Nats-Batch-"

// verdict is what became of a batch.
type verdict int

const (
	accepted verdict = iota
	refused
	unanswered // nobody knows
)

// storeBatch offers out as one atomic batch. A batch is refused whole, for one id
// that is stored or when it does not fit.
func (p *Publisher) storeBatch(ctx context.Context, out []outgoing) verdict {
	msgs := make([]*nats.Msg, len(out))
	for i, o := range out {
		msgs[i] = o.msg
	}
	sent, after := time.Now(), p.LastSeq()
	call, cancel := p.c.callContext(ctx)
	defer cancel()
	done, err := jetstreamext.PublishMsgBatch(call, p.c.js, msgs)
	for _, m := range msgs {
		unbatch(m.Header)
	}
	if err == nil {
		p.counts.reached(done.Sequence)
		p.counts.published.Add(uint64(len(out)))
		p.counts.unblock()
		return accepted
	}
	p.counts.retries.Add(1)
	if codeOf(err) != 0 {
		return refused
	}
	p.counts.block()
	p.unsure(sent, after)
	return unanswered
}

func unbatch(h nats.Header) {
	for key := range h {
		if strings.HasPrefix(key, batchPrefix) {
			delete(h, key)
		}
	}
}
