// Package parse turns one raw log line into an Event with named fields, the
// taxonomy that the Sigma rules are written against.
//
// It recognises, line by line, RFC 5424, RFC 3164 with and without priority
// (what rsyslog and journald write into files included), JSON objects, nginx and
// Apache access logs, and the Apache error log. What it does not recognise
// becomes a message and nothing else; it never fails.
//
// Lines are written by attackers. A program's text is only read as that program's
// when its tag says so, and each form is anchored at the end that the attacker
// does not write: see sshd.go. Work is linear in the length of the line; the
// caller bounds the length.
package parse
