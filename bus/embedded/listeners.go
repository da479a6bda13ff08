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
	keys, err := newOperatorKeys()
	if err != nil {
		return errors.Join(err, l.Close())
	}
	o := operators{policy: operatorPolicy{uid: os.Geteuid(), gid: gid}, keys: keys, inside: s.keys[bus.Operator], host: s.config.Host}
	s.openProxy(socketName, l, o.handshake(), localLimits)
	return nil
}

// openObserverProxy makes what observers need, and opens their port. While that is taken it is tried again by Watch.
func (s *Server) openObserverProxy() (err error) {
	if !s.config.Observer {
		return nil
	}
	if _, err := s.config.addressOfObservers(); err != nil {
		return err
	}
	s.observers = newQuota(time.Now)
	if s.gateway, err = openGateway(&s.dialer, s.observer.gatewayApp, s.observer.gatewayObserver, s.observers, s.config.ObserverEvidence); err != nil {
		return err
	}
	s.openObserverPort()
	return nil
}

// openObserverPort opens the port of observers, unless it is open. That it cannot be opened is a reason.
func (s *Server) openObserverPort() {
	if !s.config.Observer || s.proxyOf(observerName) != nil {
		return
	}
	address, err := s.config.addressOfObservers()
	if err != nil {
		return // Start has reported it
	}
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
	if err != nil {
		if s.health.setPortReason(fmt.Sprintf("observers cannot connect: bus.observer_listen %s cannot be opened: %v; trying again", address, err)) {
			s.log.WithError(err).WithField("address", address).Warn("bus observer port not available, trying again")
		}
		return
	}
	if s.health.setPortReason("") {
		s.log.WithField("address", address).Info("bus observer port available")
	}
	s.openProxy(observerName, l, observerHandshake(s.observers), localLimits)
}

// openProxy serves l, unless the server is shut down already.
func (s *Server) openProxy(name string, l net.Listener, h handshake, limits limits) {
	s.listening.Lock()
	defer s.listening.Unlock()
	opened := newProxy(name, l, h, limits, s.dialer.InProcessConn, s.log)
	if s.closed {
		_ = opened.close() // nothing was accepted
		return
	}
	s.proxies[name] = opened
	opened.serve()
}

// proxyOf returns a listener, nil if it is not open.
func (s *Server) proxyOf(name string) *proxy {
	s.listening.Lock()
	defer s.listening.Unlock()
	return s.proxies[name]
}

// ObserverAddr returns the address on which observers connect, empty for none, with the
// actual port if Config.ObserverListen has port 0.
func (s *Server) ObserverAddr() string {
	if p := s.proxyOf(observerName); p != nil {
		return p.listener.Addr().String()
	}
	return ""
}
