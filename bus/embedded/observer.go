package embedded

import (
	"fmt"
	"net"
	"net/netip"
)

// fullLine is how a NATS server says that there is no room.
const fullLine = "-ERR 'maximum connections exceeded'\r\n"

// listenObserver opens the observers' port. It refuses any address that is not
// a loopback one: whoever reaches this port is let in unasked.
func listenObserver(address string) (net.Listener, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, fmt.Errorf("observer address %q: want a loopback address and a port, such as 127.0.0.1:4222", address)
	}
	if !at.Addr().Unmap().IsLoopback() {
		return nil, fmt.Errorf("observer address %q is not a loopback address: observers are not authenticated", address)
	}
	return net.Listen("tcp", at.String())
}

// observerGreeting lets anyone in; the server makes an observer of whoever
// shows no key.
func observerGreeting() greeting {
	return greeting{
		admit: func(net.Conn) error { return nil },
		full:  func(c net.Conn) { _, _ = c.Write([]byte(fullLine)) },
	}
}
