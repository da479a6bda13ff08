package main

import (
	"context"
	"errors"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/task"
)

// look again so often, should the feed have missed something, and so long after a daemon was lost.
const (
	followLook  = 2 * time.Second
	followAgain = time.Second
)

// followAll shows the history and then what comes, also from a daemon that was
// restarted, until the user has enough.
func (l *reader) followAll(ctx context.Context) error {
	err := l.with(ctx, func(ctx context.Context, conn *bus.Conn) error {
		if err := l.history(ctx, conn); err != nil {
			return err
		}
		return l.follow(ctx, conn)
	})
	for l.restarted(ctx, err) {
		err = l.with(ctx, l.follow)
	}
	return err
}

// restarted reports whether to connect again, after a pause.
func (l *reader) restarted(ctx context.Context, err error) bool {
	var lost *codedError
	if !errors.As(err, &lost) || lost.code != exitUnreachable || l.last == 0 && !errors.Is(err, bus.ErrDaemonRestarted) {
		return false
	}
	l.tell("ironpost: the daemon is gone, waiting for it")
	timer := time.NewTimer(followAgain)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// follow reads the stream on each time its feed says that there is something. The feed only wakes: what is
// shown comes from the stream, so nothing is missed or shown twice.
func (l *reader) follow(ctx context.Context, conn *bus.Conn) error {
	wake := make(chan struct{}, 1)
	group := task.New(ctx)
	group.Go("feed", func(ctx context.Context) error {
		return conn.Follow(ctx, l.feed, func(string, map[string][]string, []byte) {
			select {
			case wake <- struct{}{}:
			default: // a look is due already
			}
		})
	})
	group.Go("show", func(ctx context.Context) error { return l.showNew(ctx, conn, wake) })
	return group.Wait()
}

func (l *reader) showNew(ctx context.Context, conn *bus.Conn, wake <-chan struct{}) error {
	tick := time.NewTicker(followLook)
	defer tick.Stop()
	for {
		if err := l.read(ctx, conn, l.print); err != nil && ctx.Err() == nil {
			return err
		}
		l.reportOdd()
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-tick.C:
		}
	}
}
