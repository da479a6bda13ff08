package embedded

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/sirupsen/logrus"
)

// serverLog passes the server's lines to logrus. A line may quote what an unknown client
// sent, so it is logged as a field, never as the message, and clients cause no more
// than linesPerSecond of them.
type serverLog struct {
	log   logrus.FieldLogger
	limit rateLimit
	fatal atomic.Pointer[string] // the first error of Fatalf
}

// linesPerSecond bounds the log lines that clients can cause.
const linesPerSecond = 20

var _ server.Logger = (*serverLog)(nil)

func newServerLog(log logrus.FieldLogger) *serverLog {
	return &serverLog{log: log, limit: rateLimit{limit: linesPerSecond, now: time.Now}}
}

// Noticef logs notices about the server's start and stop.
func (l *serverLog) Noticef(format string, v ...any) {
	l.log.WithField("text", fmt.Sprintf(format, v...)).Debug("bus server notice")
}

// rebuilt begins the server's warning that it reads a stream to rebuild its expiries, as after every stop that was not clean.
const rebuilt = "TTL state is outdated"

// Warnf logs a warning.
func (l *serverLog) Warnf(format string, v ...any) {
	if strings.Contains(format, rebuilt) {
		l.Noticef(format, v...)
		return
	}
	if entry, ok := l.entry(format, v); ok {
		entry.Warn("bus server warning")
	}
}

// Errorf logs an error as a warning: the server also calls a client's mistake an error. An
// error of the store shows in Health.
func (l *serverLog) Errorf(format string, v ...any) {
	if entry, ok := l.entry(format, v); ok {
		entry.Warn("bus server error")
	}
}

// Fatalf is called by a server that cannot start. It keeps the text for failure and returns:
// the server must not end the process.
func (l *serverLog) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.fatal.CompareAndSwap(nil, &text)
	l.log.WithField("text", text).Error("bus server failed")
}

// failure returns the first error of Fatalf, nil if it was not called.
func (l *serverLog) failure() error {
	text := l.fatal.Load()
	if text == nil {
		return nil
	}
	return errors.New(*text)
}

// Debugf does nothing.
func (l *serverLog) Debugf(string, ...any) {}

// Tracef does nothing.
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

// rateLimit allows limit events in each second.
type rateLimit struct {
	limit int
	now   func() time.Time

	mu         sync.Mutex
	second     int64
	used       int
	suppressed uint64
}

// allow reports whether one more event is allowed and, if it is the first since some were
// not, how many were suppressed.
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
