// Package embedded runs a NATS server with JetStream inside this process, and the
// listeners in front of it. Start returns a Server whose Options let each module connect
// in memory, with a key that is valid until the process ends.
//
// The server has no port. Proxies splice connections to in-memory ones, and check what their
// clients send: a unix socket for operators (root, this process's user, members of a group,
// as the kernel says), a loopback port for observers, which need no key: they may subscribe
// to republished subjects and ping services, nothing else; and, if Config.Listen asks for it,
// a port for other machines, over TLS, with a certificate and a key. Watch restarts a server
// whose store failed. No other package imports nats-server.
package embedded
