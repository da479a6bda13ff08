package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A stream is read in pages, bounded in messages and bytes. Clients of an embedded bus get no larger ones.
const (
	pageMessages = 256
	PageBytes    = 1 << 20
)

// The statuses a direct get or a pull ends with.
const (
	statusEnd     = "204"
	statusNothing = "404"
	statusExpired = "408"
)

// pageRequest is the server's request for a direct get.
type pageRequest struct {
	Seq      uint64     `json:"seq,omitempty"`
	Start    *time.Time `json:"start_time,omitempty"`
	Subject  string     `json:"next_by_subj,omitempty"`
	Last     string     `json:"last_by_subj,omitempty"`
	Batch    int        `json:"batch,omitempty"`
	MaxBytes int        `json:"max_bytes,omitempty"`

	end uint64 // the last sequence to read; 0: all
}

// batch returns how many messages the next page may have, 0 if none.
func (r pageRequest) batch() int {
	if r.end == 0 {
		return pageMessages
	}
	return int(min(r.end+1-min(r.Seq, r.end+1), pageMessages))
}

// read calls each for the messages of stream from req on, until the end or an error of
// each, which it returns.
func (c *Conn) read(ctx context.Context, stream StreamName, req pageRequest, each func(StoredRecord) error) error {
	return c.readRaw(ctx, stream, req, func(m *nats.Msg) error {
		s, err := storedOf(m)
		if err != nil {
			return err
		}
		return each(s)
	})
}

func (c *Conn) readRaw(ctx context.Context, stream StreamName, req pageRequest, each func(*nats.Msg) error) error {
	req.MaxBytes = PageBytes
	for {
		if req.Batch = req.batch(); req.Batch == 0 {
			return nil
		}
		page, err := c.page(ctx, stream, req)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, m := range page {
			if err := each(m); err != nil {
				return err
			}
		}
		last, err := storedOf(page[len(page)-1])
		if err != nil {
			return err
		}
		req.Seq, req.Start = last.Sequence+1, nil
	}
}

// page reads one page. A page that is cut off is an error, not a short page. callTimeout bounds the wait for
// each message, not for all: many readers at a time share what the server can send, and one that gave up
// would make it send all of the page again.
func (c *Conn) page(ctx context.Context, stream StreamName, req pageRequest) ([]*nats.Msg, error) {
	body, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	call, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.link.Load().ctx, func() { cancel(context.Canceled) })()
	idle := time.AfterFunc(callTimeout, func() { cancel(context.DeadlineExceeded) })
	defer idle.Stop()
	inbox := c.nc.NewInbox()
	sub, err := c.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }() // gone with the connection at the latest
	if err := c.nc.PublishRequest("$JS.API.DIRECT.GET."+string(stream), inbox, body); err != nil {
		return nil, err
	}
	messages, err := collect(call, sub, func() { idle.Reset(callTimeout) })
	if err != nil && call.Err() != nil {
		err = context.Cause(call)
	}
	return messages, callError(ctx, err)
}

// collect returns the messages of a page; it calls progress for each.
func collect(ctx context.Context, sub *nats.Subscription, progress func()) ([]*nats.Msg, error) {
	var page []*nats.Msg
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, err
		}
		progress()
		switch statusOf(m) {
		case "":
			page = append(page, m)
		case statusEnd, statusNothing:
			return page, nil
		default:
			return nil, statusError(m)
		}
	}
}

// statusOf returns the status of an answer without a message, else "". A stored message
// may itself have a header of that name.
func statusOf(m *nats.Msg) string {
	if m.Header.Get(jetstream.StreamHeader) != "" {
		return ""
	}
	return m.Header.Get("Status")
}

func statusError(m *nats.Msg) error {
	return fmt.Errorf("direct get: status %s %s", m.Header.Get("Status"), m.Header.Get("Description"))
}

// lastSequence returns the newest sequence on subject, or ErrNotFound.
func (c *Conn) lastSequence(ctx context.Context, stream StreamName, subject string) (uint64, error) {
	body, err := json.Marshal(pageRequest{Last: subject})
	if err != nil {
		return 0, err
	}
	call, cancel := c.callContext(ctx)
	defer cancel()
	m, err := c.nc.RequestWithContext(call, "$JS.API.DIRECT.GET."+string(stream), body)
	if err != nil {
		return 0, callError(ctx, err)
	}
	if statusOf(m) == statusNothing {
		return 0, ErrNotFound
	}
	s, err := storedOf(m)
	return s.Sequence, err
}

// storedOf reads a direct get's answer. The server puts its headers behind those of
// the stored message, which may have the same names.
func storedOf(m *nats.Msg) (StoredRecord, error) {
	seq, err := strconv.ParseUint(lastValue(m, jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return StoredRecord{}, errors.New("direct get: answer without a sequence")
	}
	at, err := time.Parse(time.RFC3339Nano, lastValue(m, jetstream.TimeStampHeaer))
	if err != nil {
		return StoredRecord{}, errors.New("direct get: answer without a time")
	}
	return StoredRecord{
		ID: m.Header.Get(HeaderID), Subject: lastValue(m, jetstream.SubjectHeader),
		Sequence: seq, Time: at, Data: m.Data,
	}, nil
}

func lastValue(m *nats.Msg, key string) string {
	values := m.Header[key]
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}
