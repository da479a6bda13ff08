package embedded

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/ironpost/ironpost/internal/task"
)

// Shutdown closes the listeners, then stops the server and waits until its store is
// closed. Close the connections of modules before: afterwards their calls hang until
// their deadline. If ctx ends first, Shutdown returns its error while the server still
// stops; call it again to wait for it, or end the process.
func (s *Server) Shutdown(ctx context.Context) error {
	var errs []error
	for name, g := range s.closeListening() {
		if err := g.close(); err != nil {
			errs = append(errs, fmt.Errorf("close bus listener %s: %w", name, err))
		}
	}
	if s.gateway != nil {
		s.gateway.close()
	}
	return errors.Join(append(errs, s.stop(ctx))...)
}

// closeListening has no further listener opened, and returns those that were.
func (s *Server) closeListening() map[string]*proxy {
	s.listening.Lock()
	defer s.listening.Unlock()
	s.closed = true
	return maps.Clone(s.proxies)
}

func (s *Server) stop(ctx context.Context) error {
	s.stopOnce.Do(func() {
		s.stopping, s.halted = task.New(context.WithoutCancel(ctx)), make(chan struct{})
		s.stopping.Go("stop bus server", func(context.Context) error {
			defer close(s.halted)
			s.running.Lock()
			defer s.running.Unlock()
			s.stopped = true
			if ns := s.dialer.current.Swap(nil); ns != nil {
				shutDown(ns)
			}
			return nil
		})
	})
	select {
	case <-s.halted:
		return s.stopping.Wait()
	case <-ctx.Done():
		return fmt.Errorf("stop bus server: %w", ctx.Err())
	}
}
