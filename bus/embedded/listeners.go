package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/ironpost/ironpost/bus"
)

// The names of the listeners, in logs and health.
const (
	socketName   = "socket"
	observerName = "observer"
	remoteName   = "remote"
)

// openListeners opens the socket, the port for other machines and the observers' port.
func (s *Server) openListeners() error {
	if err := s.openSocketProxy(); err != nil {
		return fmt.Errorf("bus socket: %w", err)
	}
	if err := s.openRemoteProxy(); err != nil {
		return fmt.Errorf("bus address: %w", err)
	}
	return s.openObserverProxy()
}

func (s *Server) openSocketProxy() error {
	if s.config.Socket == "" {
		return nil
	}
	if !peerCredentialsSupported {
		s.health.addWarning("the bus socket is off: this system does not report the credentials of a socket's peer")
		return nil
	}
	gid := lookupGroup(s.config.SocketGroup)
	l, err := listenSocket(s.config.Socket, gid)
	if err != nil {
		return err
	}
	policy := operatorPolicy{uid: os.Geteuid(), gid: gid}
	s.openProxy(socketName, l, operatorHandshake(policy, s.keys[bus.Operator], s.config.Host), localLimits)
	return nil
}

func (s *Server) openObserverProxy() error {
	if !s.config.Observer {
		return nil
	}
	address, err := s.config.addressOfObservers()
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
	if err != nil {
		s.log.WithError(err).WithField("address", address).Warn("bus observer port not available")
		s.health.addWarning("the observer port " + address + " is not available; nats sub cannot connect there")
		return nil
	}
	q := newQuota(time.Now)
	if s.gateway, err = openGateway(&s.dialer, s.observer.gatewayApp, s.observer.gatewayObserver, q, s.config.ObserverEvidence); err != nil {
		return errors.Join(err, l.Close())
	}
	s.observers = q
	s.openProxy(observerName, l, observerHandshake(q), localLimits)
	return nil
}

func (s *Server) openProxy(name string, l net.Listener, h handshake, limits limits) {
	opened := newProxy(name, l, h, limits, s.dialer.InProcessConn, s.log)
	s.proxies[name] = opened
	opened.serve()
}

// ObserverAddr returns the address on which observers connect, empty for none, with the
// actual port if Config.ObserverListen has port 0.
func (s *Server) ObserverAddr() string {
	if p := s.proxies[observerName]; p != nil {
		return p.listener.Addr().String()
	}
	return ""
}
