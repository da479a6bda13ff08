package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
)

const (
	// maxControlLine is the longest line, its end included. The server allows its arguments alone as many.
	maxControlLine = server.MAX_CONTROL_LINE_SIZE
	// maxHeaderBlock is the most headers of one message, in bytes; a record has less than 8 KiB of them.
	maxHeaderBlock = 16 << 10
	// maxSizeDigits is how many digits the server reads of a number.
	maxSizeDigits = 9
)

// protocolParser reads what a client sends after its CONNECT, and refuses what the server must not see.
//
// The server answers a message to the reply subject that its sender names, with its own rights: an acknowledgement, the
// answer to a read, and the delivery of a pull request are published wherever the client says, also to a subject of the
// server's API, where the answer to a read deletes a stream. So a reply subject must be below the inbox of the
// connection's key: a client has nothing delivered to others. Subjects that a key may subscribe to are not enough: an
// answer sent to the changes of the blocklist would be taken for a change. Headers by which a client has the server
// publish, or delete what the key may not write, are refused by checkHeaders.
//
// The grammar is a part of the NATS client protocol (https://docs.nats.io/reference/reference-protocols/nats-protocol) that
// leaves no room for two readings: verbs in capitals, printable ASCII, single spaces, lines that end in CRLF, numbers
// without signs or leading zeros. What is accepted is forwarded byte by byte, so the server reads what was checked.
type protocolParser struct {
	rights

	payload int  // bytes of the current message's payload that are still to come
	message bool // in a message: its payload, then CRLF

	page bool // what was accepted ends in a request for many records, and the caller must pause
}

// accept returns how many leading bytes of b the server may have. The rest is to be given again: if page is set it may be
// anything, else it is, with what follows, an incomplete line with its headers or its request, at most
// maxControlLine+maxHeaderBlock+maxAPIRequest bytes. After an error the connection must be closed.
func (p *protocolParser) accept(b []byte) (n int, err error) {
	p.page = false
	for n < len(b) && !p.page {
		step, err := p.step(b[n:])
		if err != nil || step == 0 {
			return n, err // what was refused is not forwarded
		}
		n += step
	}
	return n, nil
}

// step accepts a line with its headers, or a part of a payload, or the end of a message; 0 bytes if it is incomplete.
func (p *protocolParser) step(b []byte) (int, error) {
	switch {
	case p.payload > 0:
		n := min(p.payload, len(b))
		p.payload -= n
		return n, nil
	case !p.message:
		return p.line(b)
	case len(b) < len(lineEnd):
		return 0, nil
	case string(b[:len(lineEnd)]) != lineEnd:
		return 0, errors.New("protocol error: the payload is longer than its size says")
	}
	p.message = false
	return len(lineEnd), nil
}

const lineEnd = "\r\n"

// cutLine returns the line at the start of b without its end, and how long it is with it; 0 if it is incomplete.
func cutLine(b []byte) (line []byte, n int, err error) {
	n = bytes.IndexByte(b[:min(len(b), maxControlLine)], '\n') + 1
	switch {
	case n == 0 && len(b) >= maxControlLine:
		return nil, 0, errors.New("maximum control line exceeded")
	case n == 0:
		return nil, 0, nil
	case n == 1 || b[n-2] != '\r':
		return nil, 0, errors.New("protocol error: a line ends in CRLF")
	}
	return b[:n-len(lineEnd)], n, nil
}

func (p *protocolParser) line(b []byte) (int, error) {
	line, n, err := cutLine(b)
	if n == 0 || err != nil {
		return 0, err
	}
	for _, c := range line {
		if c < ' ' || c > '~' {
			return 0, errors.New("protocol error: a line has printable ASCII only")
		}
	}
	verb, arguments, _ := bytes.Cut(line, []byte{' '})
	var into [maxArguments][]byte
	switch string(verb) {
	case "PUB":
		return p.pub(split(arguments, &into), b, n)
	case "HPUB":
		return p.hpub(split(arguments, &into), b, n)
	case "SUB":
		return n, p.sub(split(arguments, &into))
	case "UNSUB":
		return n, p.unsub(split(arguments, &into))
	case "PING", "PONG":
		if len(line) == len(verb) {
			return n, nil
		}
	case "CONNECT":
		return 0, errors.New("protocol error: CONNECT comes once, and first")
	}
	return 0, errors.New("unknown protocol operation: want PUB, HPUB, SUB, UNSUB, PING or PONG, in capitals")
}

// maxArguments is one more than any line has.
const maxArguments = 5

// split returns the arguments between single spaces, of which one is empty if there are more.
func split(arguments []byte, into *[maxArguments][]byte) [][]byte {
	out := into[:0]
	for len(out) < maxArguments {
		argument, rest, more := bytes.Cut(arguments, []byte{' '})
		if out = append(out, argument); !more {
			break
		}
		arguments = rest
	}
	return out
}

// pub reads PUB <subject> [reply] <size> at the start of b, with a line of n bytes.
func (p *protocolParser) pub(arguments [][]byte, b []byte, n int) (int, error) {
	if len(arguments) < 2 || len(arguments) > 3 {
		return 0, errors.New("protocol error: want PUB <subject> [reply-to] <size>")
	}
	size, err := parseSize(arguments[len(arguments)-1])
	if err != nil {
		return 0, err
	}
	if err := p.checkSubjects(arguments[:len(arguments)-1]); err != nil {
		return 0, err
	}
	if bytes.HasPrefix(arguments[0], []byte(apiPrefix)) {
		return p.request(arguments[0], b, n, 0, size)
	}
	p.payload, p.message = size, true
	return n, nil
}

// hpub reads HPUB <subject> [reply] <size of the headers> <size> at the start of b, with a line of n bytes, and its headers.
func (p *protocolParser) hpub(arguments [][]byte, b []byte, n int) (int, error) {
	if len(arguments) < 3 || len(arguments) > 4 {
		return 0, errors.New("protocol error: want HPUB <subject> [reply-to] <size of headers> <total size>")
	}
	sizes := arguments[len(arguments)-2:]
	header, err := parseSize(sizes[0])
	if err != nil {
		return 0, err
	}
	size, err := parseSize(sizes[1])
	if err != nil {
		return 0, err
	}
	if header > size || header > maxHeaderBlock {
		return 0, fmt.Errorf("protocol error: the headers are larger than the message, or than %d bytes", maxHeaderBlock)
	}
	if err := p.checkSubjects(arguments[:len(arguments)-2]); err != nil {
		return 0, err
	}
	if len(b) < n+header {
		return 0, nil
	}
	if err := checkHeaders(b[n : n+header]); err != nil {
		return 0, err
	}
	if bytes.HasPrefix(arguments[0], []byte(apiPrefix)) {
		return p.request(arguments[0], b, n, header, size)
	}
	p.payload, p.message = size-header, true
	return n + header, nil
}

// parseSize reads a number of bytes of a message.
func parseSize(text []byte) (int, error) {
	n := 0
	for _, digit := range text {
		if digit < '0' || digit > '9' {
			return 0, errors.New("protocol error: a size has digits only")
		}
		n = n*10 + int(digit-'0')
		if n > maxPayload {
			return 0, errors.New("maximum payload violation")
		}
	}
	if len(text) == 0 || len(text) > 1 && text[0] == '0' {
		return 0, errors.New("protocol error: a size has no leading zeros, and is not empty")
	}
	return n, nil
}

// checkSubjects checks a subject and, if there is one, the reply subject after it.
func (p *protocolParser) checkSubjects(subjects [][]byte) error {
	for _, subject := range subjects {
		if !server.IsValidLiteralSubject(string(subject)) {
			return errors.New("invalid subject")
		}
	}
	if by := bus.OperatorOf(string(subjects[0])); by != "" && by != p.operator {
		return fmt.Errorf("permissions violation for publish to %q: you are %s", printable(subjects[0]), p.operator)
	}
	if len(subjects) > 1 && !strings.HasPrefix(string(subjects[1]), p.inbox) {
		return fmt.Errorf("permissions violation for publish with reply of %q: want one below %s", printable(subjects[1]), p.inbox)
	}
	return nil
}

// sub reads SUB <subject> [queue] <sid>. Clients write an absent queue as nothing between two spaces.
func (p *protocolParser) sub(arguments [][]byte) error {
	n := len(arguments)
	if n < 2 || n > 3 || len(arguments[0]) == 0 || len(arguments[n-1]) == 0 {
		return errors.New("protocol error: want SUB <subject> [queue] <sid>")
	}
	if p.observer != nil {
		return p.observer.subscribe(string(arguments[n-1]))
	}
	return nil
}

// unsub reads UNSUB <sid> [max]. Clients write an absent max as nothing after a space. A subscription that ends by itself after max messages
// counts until its connection ends.
func (p *protocolParser) unsub(arguments [][]byte) error {
	if len(arguments) > 2 || len(arguments[0]) == 0 {
		return errors.New("protocol error: want UNSUB <sid> [max-msgs]")
	}
	if len(arguments) < 2 || len(arguments[1]) == 0 {
		if p.observer != nil {
			p.observer.unsubscribe(string(arguments[0]))
		}
		return nil
	}
	if len(arguments[1]) > maxSizeDigits || len(bytes.Trim(arguments[1], "0123456789")) > 0 {
		return errors.New("protocol error: max-msgs has digits only")
	}
	return nil
}

// printable returns b for a person to read.
func printable(b []byte) string {
	const most = 128
	return event.PrintableASCII(string(b), most)
}
