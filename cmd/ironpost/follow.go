package main

import (
	"context"
	"errors"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/task"
)

const (
	followPoll    = 2 * time.Second // the stream is read again this often, in case a republished message was lost
	reconnectWait = time.Second
)

// followUntilDone prints the stored records and then new ones until ctx ends. It
// reconnects when the daemon restarts.
func (l *recordLister) followUntilDone(ctx context.Context) error {
	reached := false // a daemon that was never there is an error, not one to wait for
	err := l.withConn(ctx, func(ctx context.Context, conn *bus.Conn) error {
		if err := l.printStored(ctx, conn); err != nil {
			return err
		}
		reached = true
		return l.follow(ctx, conn)
	})
	for told := false; reached && mayReturn(err); told = true {
		if !told {
			l.notef("ironpost: lost the daemon, waiting for it")
		}
		timer := time.NewTimer(reconnectWait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
		err = l.withConn(ctx, l.follow)
	}
	return err
}

// mayReturn reports whether err is a daemon that does not answer, or a cluster without a leader.
func mayReturn(err error) bool {
	var coded *codedError
	return errors.As(err, &coded) && (coded.code == exitUnreachable || coded.code == exitDegraded)
}

// follow reads on in the stream whenever a republished record arrives. That
// record only wakes it: what is printed comes from the stream, so no record is
// missed or printed twice.
func (l *recordLister) follow(ctx context.Context, conn *bus.Conn) error {
	wake := make(chan struct{}, 1)
	group := task.New(ctx)
	group.Go("follow", func(ctx context.Context) error {
		return conn.Follow(ctx, l.republished, func(string, map[string][]string, []byte) {
			select {
			case wake <- struct{}{}:
			default: // already set
			}
		})
	})
	group.Go("print", func(ctx context.Context) error { return l.printNew(ctx, conn, wake) })
	return group.Wait()
}

func (l *recordLister) printNew(ctx context.Context, conn *bus.Conn, wake <-chan struct{}) error {
	tick := time.NewTicker(followPoll)
	defer tick.Stop()
	for {
		if err := l.readNew(ctx, conn, l.print); err != nil && ctx.Err() == nil {
			return err
		}
		l.reportUndecoded()
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-tick.C:
		}
	}
}
