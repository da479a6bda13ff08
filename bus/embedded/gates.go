package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/ironpost/ironpost/bus"
)

// The names of the listeners, in logs and health.
const (
	socketGate   = "socket"
	observerGate = "observer"
)

// openGates opens the listeners that are ours. Config was checked before, so only
// the machine can refuse.
func (s *Server) openGates() error {
	if err := s.openSocket(); err != nil {
		return fmt.Errorf("bus socket: %w", err)
	}
	return s.openObserver()
}

func (s *Server) openSocket() error {
	if s.config.Socket == "" {
		return nil
	}
	if !peersKnown {
		s.notes.keep("the bus socket is off: this system cannot tell who connects to it")
		return nil
	}
	gid := lookupGroup(s.config.SocketGroup)
	l, err := listenSocket(s.config.Socket, gid)
	if err != nil {
		return err
	}
	who := operators{uid: os.Geteuid(), gid: gid}
	hello := bus.Greeting{Seed: s.keys[bus.Operator].seed, Host: s.config.Host}
	s.open(socketGate, l, operatorGreeting(who, hello))
	return nil
}

func (s *Server) openObserver() error {
	if !s.config.Observer {
		return nil
	}
	address, err := loopback(s.config.ObserverListen)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
	if err != nil {
		s.log.WithError(err).WithField("address", address).Warn("bus observer port not available")
		s.notes.keep("the observer port " + address + " is not available; nats sub cannot connect there")
		return nil
	}
	if s.gateway, err = openGateway(&s.provider, s.observer.inside, s.observer.outside); err != nil {
		return errors.Join(err, l.Close())
	}
	s.open(observerGate, l, observerGreeting())
	return nil
}

func (s *Server) open(name string, l net.Listener, g greeting) {
	opened := newGate(name, l, g, s.provider.InProcessConn, s.log)
	s.gates[name] = opened
	opened.serve()
}

// ObserverAddr returns where observers connect, empty if nowhere. It tells the
// port where Config.ObserverListen asked for any.
func (s *Server) ObserverAddr() string {
	if g := s.gates[observerGate]; g != nil {
		return g.listener.Addr().String()
	}
	return ""
}
