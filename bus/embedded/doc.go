// Package embedded runs a NATS server with JetStream inside this process and
// decides who may speak to it.
//
// The server itself has no port unless Config.Listen asks for one. Modules of
// this process connect in memory, each with a key of its own that lives as long
// as the process. Two small listeners are spliced to such in-memory
// connections: a unix socket, whose peers are operators if the kernel says that
// they are root, this process's own user or members of a group, and a loopback
// port, where anyone is the observer: an account that may listen to what was
// stored and ask who is there, nothing else.
//
// It is the only importer of nats-server.
package embedded
