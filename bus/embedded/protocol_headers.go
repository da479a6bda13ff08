package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const headerVersion = "NATS/1.0\r\n"

// serverHeaders start the names of headers that the server acts on.
const serverHeaders = "nats-"

// allowedHeaders are those of them that a client may send: the id of a record, conditions on its place, batches, how long
// an entry of a bucket lives, and the error of a service. Among all others are
//
//	Nats-Trace-Dest, -Only, ...   the server publishes where a message went
//	Nats-Rollup                   a message replaces others: with "all" those of subjects that the key may not write
//	Nats-Schedule, ...            the server publishes later, to a subject of the client's choice
//	Nats-Incr                     the server computes the payload
//	Nats-Request-Info             by which the server tells its own API who asks
//	Nats-Expected-Last-Subject-Sequence-Subject   tells about subjects that the key may not read
var allowedHeaders = []string{
	"Nats-Msg-Id", "Nats-Expected-Stream", "Nats-Expected-Last-Msg-Id", "Nats-Expected-Last-Sequence", "Nats-Expected-Last-Subject-Sequence",
	"Nats-Batch-Id", "Nats-Batch-Sequence", "Nats-Batch-Commit", "Nats-TTL", "Nats-Required-Api-Level",
	"Nats-Service-Error", "Nats-Service-Error-Code",
}

// checkHeaders checks the headers of a message: a version, lines "name: value", and an empty line. Names are compared
// regardless of case, because the server's own comparisons differ in that.
func checkHeaders(h []byte) error {
	rest, ok := bytes.CutPrefix(h, []byte(headerVersion))
	if !ok {
		return errors.New("protocol error: headers begin with NATS/1.0")
	}
	for {
		line, more, ok := bytes.Cut(rest, []byte(lineEnd))
		if !ok {
			return errors.New("protocol error: headers end in an empty line")
		}
		if len(line) == 0 {
			if len(more) > 0 {
				return errors.New("protocol error: headers end at their first empty line")
			}
			return nil
		}
		if err := checkHeader(line); err != nil {
			return err
		}
		rest = more
	}
}

func checkHeader(line []byte) error {
	name, value, ok := bytes.Cut(line, []byte{':'})
	if !ok || len(name) == 0 || bytes.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return errors.New("protocol error: want headers as name: value")
	}
	for _, c := range value {
		if c < ' ' && c != '\t' || c == '\x7f' {
			return errors.New("protocol error: control character in a header")
		}
	}
	if len(name) < len(serverHeaders) || !strings.EqualFold(string(name[:len(serverHeaders)]), serverHeaders) {
		return nil
	}
	if !slices.Contains(allowedHeaders, string(name)) {
		return fmt.Errorf("permissions violation for header %q", printable(name))
	}
	return nil
}
