package embedded

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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
		page, err = checkRead(b[n+header : n+size])
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
// function, into the same type.
func checkRead(payload []byte) (page bool, err error) {
	var r server.JSApiMsgGetRequest
	if err := json.Unmarshal(payload, &r); err != nil {
		return false, errors.New("a read is a JSON object")
	}
	if len(r.MultiLastFor) > 0 {
		return false, errors.New("multi_last is not allowed: read last_by_subj one by one")
	}
	if r.Batch != 0 && (r.MaxBytes <= 0 || r.MaxBytes > bus.PageBytes) {
		return false, fmt.Errorf("a read with batch needs max_bytes of at most %d", bus.PageBytes)
	}
	return r.Batch != 0, nil
}
