// Package bus connects modules: one table of modules, streams and permissions, and
// connections that publish records, consume them, keep desired state in buckets and answer
// requests. It hides nats.go: no other package depends on it.
//
// A record published through a Publisher is stored once: its id is the Nats-Msg-Id, a refused
// or unanswered one is published again with the same id, and ids that the server may have
// forgotten are read back first. A full stream blocks its producer; nothing is dropped here.
// A record is delivered at least once, because acks are not durable when they are given:
// effects must be idempotent on the id.
package bus
