package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
)

// openGates opens the listeners that are ours.
func (s *Server) openGates() error {
	if err := s.openSocket(); err != nil {
		return err
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
		return fmt.Errorf("bus socket: %w", err)
	}
	who := operators{uid: os.Geteuid(), gid: gid}
	s.open("socket", l, operatorGreeting(who, s.keys[bus.Operator].seed, s.config.Host))
	return nil
}

func (s *Server) openObserver() error {
	if !s.config.Observer || s.config.ObserverListen == "" {
		return nil
	}
	address, err := loopback(s.config.ObserverListen)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		s.log.WithError(err).WithField("address", address).Warn("bus observer port not available")
		s.notes.keep("the observer port " + address + " is taken; nats sub works through another port only")
		return nil
	}
	s.open("observer", l, observerGreeting())
	return nil
}
