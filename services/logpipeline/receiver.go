package logpipeline

import (
	"context"
	"sync"

	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/logpipeline/syslog"
)

// receiver runs the syslog server, and another in its place when a setting changed
// that the server cannot change while it runs.
type receiver struct {
	done chan struct{} // closed when run has returned: nothing is received any more

	mu     sync.Mutex
	server *syslog.Server
	next   *syslog.Server // takes over when server has ended
	cancel context.CancelFunc
}

func newReceiver(server *syslog.Server) *receiver {
	return &receiver{server: server, done: make(chan struct{}), cancel: func() {}}
}

func (r *receiver) run(ctx context.Context) error {
	defer close(r.done)
	for ctx.Err() == nil {
		if err := r.runOne(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (r *receiver) runOne(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.mu.Lock()
	if r.next != nil {
		r.server, r.next = r.next, nil
	}
	server := r.server
	r.cancel = cancel
	r.mu.Unlock()
	return task.Call(ctx, "syslog receiver", server.Run)
}

// replace has server take over.
func (r *receiver) replace(server *syslog.Server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next = server
	r.cancel()
}

// current returns the newest server, running or about to.
func (r *receiver) current() *syslog.Server {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next != nil {
		return r.next
	}
	return r.server
}

func (r *receiver) owns(path string) bool { return r.current().Owns(path) }
