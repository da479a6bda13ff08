package embedded

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/sirupsen/logrus"
)

// serverLog hands the server's lines to logrus. What the server writes may
// quote what a stranger sent, so a line is data, never a message, and strangers
// may cause no more than linesPerSecond of them.
type serverLog struct {
	log   logrus.FieldLogger
	limit rateLimit
	fatal atomic.Pointer[string] // the first thing the server could not go on from
}

// linesPerSecond bounds what any client can make us log.
const linesPerSecond = 20

var _ server.Logger = (*serverLog)(nil)

func newServerLog(log logrus.FieldLogger) *serverLog {
	return &serverLog{log: log, limit: rateLimit{limit: linesPerSecond, now: time.Now}}
}

// Noticef is the server's talk of its own start and stop.
func (l *serverLog) Noticef(format string, v ...any) {
	l.log.WithField("text", fmt.Sprintf(format, v...)).Debug("bus server notice")
}

// Warnf logs a warning.
func (l *serverLog) Warnf(format string, v ...any) {
	if entry, ok := l.entry(format, v); ok {
		entry.Warn("bus server warning")
	}
}

// Errorf logs an error. The server calls a client's mistake an error, so it is a
// warning here: an error of ours shows in Health.
func (l *serverLog) Errorf(format string, v ...any) {
	if entry, ok := l.entry(format, v); ok {
		entry.Warn("bus server error")
	}
}

// Fatalf is called by a server that gives up its start. It remembers why and
// returns: whether the process ends is not the server's decision.
func (l *serverLog) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.fatal.CompareAndSwap(nil, &text)
	l.log.WithField("text", text).Error("bus server failed")
}

// failure returns what Fatalf was first told, nil if it was not called.
func (l *serverLog) failure() error {
	text := l.fatal.Load()
	if text == nil {
		return nil
	}
	return errors.New(*text)
}

// Debugf is never asked for.
func (l *serverLog) Debugf(string, ...any) {}

// Tracef is never asked for.
func (l *serverLog) Tracef(string, ...any) {}

func (l *serverLog) entry(format string, v []any) (logrus.FieldLogger, bool) {
	ok, suppressed := l.limit.allow()
	if !ok {
		return nil, false
	}
	entry := l.log.WithField("text", fmt.Sprintf(format, v...))
	if suppressed > 0 {
		entry = entry.WithField("suppressed", suppressed)
	}
	return entry, true
}

// rateLimit admits limit events in each second.
type rateLimit struct {
	limit int
	now   func() time.Time

	mu         sync.Mutex
	second     int64
	used       int
	suppressed uint64
}

// allow reports whether one more event is admitted and, if it is the first
// since some were not, how many were not.
func (q *rateLimit) allow() (ok bool, suppressed uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if second := q.now().Unix(); second != q.second {
		q.second, q.used = second, 0
	}
	if q.used >= q.limit {
		q.suppressed++
		return false, 0
	}
	q.used++
	suppressed, q.suppressed = q.suppressed, 0
	return true, suppressed
}
