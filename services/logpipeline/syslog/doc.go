// Package syslog receives syslog messages over UDP (RFC 5426) and TCP (RFC 6587)
// and puts each of them, whole, into a spool file before it takes the next.
//
// Package tail reads the spool like any other log file, so that a received
// message survives the death of the process, and so that a slow reader fills the
// disk up to a bound and not the memory. At that bound TCP senders wait and UDP
// messages are dropped and counted.
package syslog
