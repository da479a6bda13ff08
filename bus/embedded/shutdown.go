package embedded

import (
	"context"
	"errors"
	"fmt"
)

// Shutdown closes the listeners, then stops the server and waits until its store
// is closed. Modules must have closed their connections before: afterwards their
// calls hang until their deadline. If ctx ends first, Shutdown returns its error
// while the server still stops; the process should then end.
func (s *Server) Shutdown(ctx context.Context) error {
	var errs []error
	for name, g := range s.gates {
		if err := g.close(); err != nil {
			errs = append(errs, fmt.Errorf("close bus listener %s: %w", name, err))
		}
	}
	if s.gateway != nil {
		s.gateway.close()
	}
	return errors.Join(append(errs, s.stop(ctx))...)
}

func (s *Server) stop(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.running.Lock()
		defer s.running.Unlock()
		s.stopped = true
		if ns := s.provider.current.Swap(nil); ns != nil {
			halt(ns)
		}
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop bus server: %w", ctx.Err())
	}
}
