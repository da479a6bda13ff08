// Package bus is how modules talk: the one table of subjects, streams, durables
// and permissions, and connections that publish, consume, keep desired state in
// buckets and answer requests. It hides nats.go, so that no other package depends
// on it.
//
// What is published through a Publisher is stored once: every record travels with
// its id as Nats-Msg-Id, a refused or unanswered one is sent again with the same
// id, and what may have left the server's window of remembered ids is looked up
// first. A full stream blocks its producer; nothing is dropped here.
//
// What is consumed arrives at least once, because acknowledgements are not
// durable at the moment they are given: effects must be idempotent on the id.
package bus
