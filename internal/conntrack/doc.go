// Package conntrack asks the kernel's table of connections who began one, before this host translated its address, and
// who is connected to which of its containers, and takes the kernel's reports of new connections.
package conntrack

import (
	"errors"
	"net/netip"
	"time"
)

// Connection is a TCP connection as its first packet had it, before any address was translated: From began it.
type Connection struct{ From, To netip.AddrPort }

// ErrUnknown means that the kernel has no such connection, or several of different sources.
var ErrUnknown = errors.New("the kernel's table of connections does not tell the source")

// ErrBusy means that an Asker may ask no more.
var ErrBusy = errors.New("the kernel's table of connections was asked as often as it may be")

// The bounds of an Asker.
const (
	maxQuestions = 4
	maxTime      = time.Second
)

// Asker asks at most four times, and for a second in all. It is for one goroutine.
type Asker struct {
	asked int
	until time.Time
}

// left returns how long the next question may take, or ErrBusy.
func (a *Asker) left() (time.Duration, error) {
	if a.until.IsZero() {
		a.until = time.Now().Add(maxTime)
	}
	left := time.Until(a.until)
	if a.asked >= maxQuestions || left <= 0 {
		return 0, ErrBusy
	}
	a.asked++
	return left, nil
}
