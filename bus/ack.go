package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
)

var errNotStored = errors.New("not an answer of a stream")

// ack is what a stream answers to a publish.
type ack struct {
	Stream    string   `json:"stream"`
	Sequence  uint64   `json:"seq"`
	Duplicate bool     `json:"duplicate"`
	Error     *refusal `json:"error"`
}

// refusal is why a stream did not store.
type refusal struct {
	Code        int    `json:"err_code"`
	Description string `json:"description"`
}

// Error implements error.
func (r *refusal) Error() string { return fmt.Sprintf("%s (%d)", r.Description, r.Code) }

// call sends m and returns the answer. An error means that nobody knows whether m
// was stored.
func (c *Conn) call(ctx context.Context, m *nats.Msg) (ack, error) {
	ctx, cancel := c.callContext(ctx)
	defer cancel()
	answer, err := c.nc.RequestMsgWithContext(ctx, m)
	if err != nil {
		return ack{}, err
	}
	return parseAck(answer.Data)
}

// parseAck reads an answer. The common one has a fixed form and is read without
// the JSON decoder, which would cost as much as the rest of a publish.
func parseAck(data []byte) (ack, error) {
	if a, ok := parsePlainAck(data); ok {
		return a, nil
	}
	var a ack
	if err := json.Unmarshal(data, &a); err != nil {
		return a, fmt.Errorf("%w: %w", errNotStored, err)
	}
	if a.Error == nil && (a.Stream == "" || a.Sequence == 0) {
		return a, errNotStored
	}
	return a, nil
}

// parsePlainAck reads {"stream":"NAME", "seq":123}.
func parsePlainAck(data []byte) (ack, bool) {
	rest, ok := bytes.CutPrefix(data, []byte(`{"stream":"`))
	if !ok {
		return ack{}, false
	}
	name, rest, ok := bytes.Cut(rest, []byte(`"`))
	if !ok {
		return ack{}, false
	}
	rest, ok = bytes.CutPrefix(bytes.ReplaceAll(rest, []byte(" "), nil), []byte(`,"seq":`))
	if !ok {
		return ack{}, false
	}
	digits, ok := bytes.CutSuffix(rest, []byte("}"))
	if !ok {
		return ack{}, false
	}
	seq, err := strconv.ParseUint(string(digits), 10, 64)
	return ack{Stream: string(name), Sequence: seq}, err == nil && seq > 0 && len(name) > 0
}
