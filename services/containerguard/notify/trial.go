package notify

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Test sends m once, before whatever waits and without a file, and returns how long the webhook took. The error says what to do. It
// does not change when other messages are sent. ctx bounds it. It may be called concurrently.
func (n *Notifier) Test(ctx context.Context, m Message) (took time.Duration, err error) {
	q, err := newQueued(m, nil)
	if err != nil {
		return 0, fmt.Errorf("encode notification: %w", err)
	}
	n.mu.Lock()
	to := n.destination.url
	n.mu.Unlock()
	failure := n.post(ctx, to, q.Body)
	took = time.Since(q.At)
	if failure == nil {
		return took, nil
	}
	return took, fmt.Errorf("%w: %s", failure.err, advice(failure))
}

// advice says what an operator can do about f.
func advice(f *failure) string {
	switch {
	case errors.Is(f.err, context.DeadlineExceeded):
		return "it did not answer in time; check container.webhook_url, and the firewall between this machine and it"
	case f.limited:
		return "it takes no more messages for now; try again later"
	case f.unavailable:
		return "check container.webhook_url, and that this machine reaches it (name, firewall, certificate)"
	case f.final:
		return "check container.webhook_url: the address may have moved or been revoked"
	}
	return "the fault is at the webhook; see its log or status page, and try again"
}
