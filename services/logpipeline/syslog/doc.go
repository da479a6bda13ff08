// Package syslog receives syslog messages over UDP (RFC 5426) and TCP (RFC 6587) and
// writes each one whole to a spool file before it reads the next.
//
// Package tail reads the spool like any other log: a received message survives a crash
// of the process, and a slow pipeline fills the disk up to Config.MaxBytes instead of
// the memory. At that limit TCP senders wait, and UDP messages are dropped and counted
// by reason.
package syslog
