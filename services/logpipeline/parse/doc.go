// Package parse parses a raw log line into an Event with named fields, for which
// the Sigma rules are written. parser.go lists the formats, programs.go the
// programs whose messages are parsed. It never fails: a line in no known format
// is an Event with a message.
//
// Attackers write parts of the lines. Therefore a message is parsed as that of a
// program only if the syslog tag names the program, and every parser is anchored
// at the end of the line that the attacker does not control: see sshd.go. Time is
// linear in the length of the line, which the caller bounds.
package parse
