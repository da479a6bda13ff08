package embedded

import (
	"fmt"
	"net"
	"net/netip"
)

// maxConnectionsLine is what a NATS server sends to a client above its limit.
const maxConnectionsLine = "-ERR 'maximum connections exceeded'\r\n"

// observersPerSecond is how many connections of observers are served in a second. More wait.
const observersPerSecond = 250

// addressOfObservers returns the address to listen on for observers.
func (c Config) addressOfObservers() (string, error) {
	if c.ObserverPublished {
		return c.ObserverListen, nil
	}
	address, err := loopback(c.ObserverListen)
	if err != nil {
		return "", fmt.Errorf("observer address %w: observers are not authenticated", err)
	}
	return address, nil
}

// loopback returns address, with localhost resolved, and an error if it is not a loopback address.
func loopback(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("%q: want a loopback address and a port, such as 127.0.0.1:4222", address)
	}
	if host == "localhost" {
		return net.JoinHostPort("127.0.0.1", port), nil
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || !ip.Unmap().IsLoopback() {
		return "", fmt.Errorf("%q is not a loopback address", address)
	}
	return address, nil
}

// observerHandshake accepts everyone who shows no key, within the limits of q: the server treats such a client as an
// observer.
func observerHandshake(q *quota) handshake {
	return handshake{
		accept: func(c net.Conn) (session, error) {
			client, err := q.join(ownerOf(c))
			if err != nil {
				_, _ = c.Write([]byte(maxConnectionsLine))
				return session{}, err
			}
			return session{admit: admitObserver(client), end: client.end}, nil
		},
		sendInfo:  sendInfoInClear,
		reject:    func(c net.Conn) { _, _ = c.Write([]byte(maxConnectionsLine)) },
		perSecond: observersPerSecond,
	}
}
