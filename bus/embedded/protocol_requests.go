package embedded

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/ironpost/ironpost/bus"
)

const (
	apiPrefix  = "$JS.API."
	readPrefix = "$JS.API.DIRECT.GET."
	pullPrefix = "$JS.API.CONSUMER.MSG.NEXT."

	// maxAPIRequest is the largest payload of a request to the server's API, in bytes.
	maxAPIRequest = 4 << 10
	// minHeartbeat is what the server requires of a consumer, but not of a pull request.
	minHeartbeat = 100 * time.Millisecond
)

// request reads what follows the n bytes of the line, and the header, of a request to the server's API at the start of b; size
// is that of header and payload. It returns 0 if that is incomplete.
//
// The server puts the records that a request reads in a queue without a limit, and drops a client that does not take them
// only when it comes to deliver them. So a request reads a bounded number of bytes, and the caller pauses after one that reads many
// records. It does not after others: a guard looks each address up in the blocklist.
func (p *protocolParser) request(subject, b []byte, n, header, size int) (int, error) {
	payload := size - header
	if payload > maxAPIRequest {
		return 0, fmt.Errorf("maximum payload violation: a request to the server has at most %d bytes", maxAPIRequest)
	}
	if len(b) < n+size {
		return 0, nil
	}
	var err error
	page := false
	switch {
	case bytes.HasPrefix(subject, []byte(pullPrefix)): // what a pull brings is bounded until it is acknowledged
		err = checkPull(b[n+header : n+size])
	case payload > 0 && bytes.HasPrefix(subject, []byte(readPrefix)):
		page, err = p.checkRead(string(subject), b[n+header:n+size])
	}
	if err != nil {
		return 0, err
	}
	p.message, p.page = true, page
	return n + size, nil
}

// checkPull checks the payload of a pull request, which the server trims: it would send a heartbeat each time it
// looks at its requests.
func checkPull(payload []byte) error {
	var r server.JSApiConsumerGetNextRequest
	if json.Unmarshal(bytes.TrimSpace(payload), &r) == nil && r.Heartbeat != 0 && r.Heartbeat < minHeartbeat {
		return fmt.Errorf("idle_heartbeat of a pull request is at least %s", minHeartbeat)
	}
	return nil // the server takes a number, too, and answers to anything else with an error
}

// checkRead checks the payload of a read, and reports whether it reads more than one record. The server reads it with the same
// function, into the same type. A key must have the permission to read the subject that it asks for in the payload, where the server
// does not look.
func (r rights) checkRead(api string, payload []byte) (page bool, err error) {
	var read server.JSApiMsgGetRequest
	if err := json.Unmarshal(payload, &read); err != nil {
		return false, errors.New("a read is a JSON object")
	}
	if len(read.MultiLastFor) > 0 {
		return false, errors.New("multi_last is not allowed: read last_by_subj one by one")
	}
	if read.Batch != 0 && (read.MaxBytes <= 0 || read.MaxBytes > bus.PageBytes) {
		return false, fmt.Errorf("a read with batch needs max_bytes of at most %d", bus.PageBytes)
	}
	asked := []string{read.LastFor, read.NextFor} // the server takes one of them; without one, any subject is asked for
	if asked = slices.DeleteFunc(asked, func(s string) bool { return s == "" }); len(asked) == 0 {
		asked = []string{everything}
	}
	for _, subject := range asked {
		if !r.mayRead(api + "." + subject) {
			return false, fmt.Errorf("permissions violation for reading %q with %s: name a subject of your own in next_by_subj or last_by_subj", printable([]byte(subject)), api)
		}
	}
	return read.Batch != 0, nil
}

// mayRead reports whether every subject that asked, which may have wildcards, stands for is among those of r.
func (r rights) mayRead(asked string) bool {
	tokens := strings.Split(asked, ".")
	return slices.ContainsFunc(r.publish, func(allowed string) bool {
		for i, token := range strings.Split(allowed, ".") {
			switch {
			case i == len(tokens):
				return false
			case token == everything:
				return true
			case token != tokens[i] && (token != "*" || tokens[i] == everything):
				return false
			}
		}
		return strings.Count(allowed, ".") == len(tokens)-1
	})
}
