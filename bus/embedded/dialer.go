package embedded

import (
	"errors"
	"net"
	"sync/atomic"

	"github.com/nats-io/nats-server/v2/server"
)

// errNotRunning is the error of a dial while no server runs: the client library waits and
// tries again.
var errNotRunning = errors.New("the bus server is not running; try again")

// inProcessDialer makes in-memory connections to the server that runs at the moment, so
// that a client outlives a restart of the server in place.
type inProcessDialer struct {
	current atomic.Pointer[server.Server]
}

// InProcessConn implements nats.InProcessConnProvider. Any goroutine may call it.
func (p *inProcessDialer) InProcessConn() (net.Conn, error) {
	s := p.current.Load()
	if s == nil {
		return nil, errNotRunning
	}
	return s.InProcessConn()
}
