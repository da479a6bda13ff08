package suite

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
)

// blocks changes the blocklist for operators, and publishes each change as an action, which the audit trail keeps.
type blocks struct {
	conn *bus.Conn // the daemon's own
	host string
}

// BlocklistActs returns the acts of a daemon on host about the blocklist. conn is the daemon's own connection.
func BlocklistActs(conn *bus.Conn, host string) map[string]bus.Act {
	b := blocks{conn: conn, host: host}
	return map[string]bus.Act{bus.VerbBlock: b.block, bus.VerbUnblock: b.unblock}
}

func (b blocks) block(ctx context.Context, by string, body []byte) (any, error) {
	var req bus.BlockRequest
	if err := json.Unmarshal(body, &req); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	if err := bus.CheckBlockWidth(req.Block.Prefix); err != nil {
		return nil, err
	}
	entry := req.Block
	entry.Source, entry.Policy, entry.MadeOn, entry.Trust = bus.Operator, "", "", ""
	list, err := b.conn.Blocklist(ctx)
	if err != nil {
		return nil, err
	}
	before, err := list.GetBlock(ctx, entry)
	if err != nil && !errors.Is(err, bus.ErrNotFound) && !errors.Is(err, bus.ErrInvalidBlock) {
		return nil, err
	}
	began := time.Now()
	failure := list.Put(ctx, entry)
	a := b.action(by, entry, event.Done, entry.Reason, began)
	a.Undo, a.ExpiresAt = "ironpost blocklist del "+entry.Prefix.String(), &entry.Expires
	if failure != nil {
		a.Phase, a.Error, a.Undo = event.Failed, failure.Error(), ""
	}
	return bus.BlockReply{Before: before}, errors.Join(failure, b.record(ctx, a))
}

func (b blocks) unblock(ctx context.Context, by string, body []byte) (any, error) {
	var req bus.UnblockRequest
	if err := json.Unmarshal(body, &req); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	list, err := b.conn.Blocklist(ctx)
	if err != nil {
		return nil, err
	}
	all, _, err := list.List(ctx)
	if err != nil {
		return nil, err
	}
	reply, actions := bus.UnblockReply{Removed: []bus.Block{}}, []*event.Action{}
	for _, entry := range req.Entries(all) {
		began := time.Now()
		if err = list.RemoveBlock(ctx, entry); err != nil {
			break
		}
		reply.Removed = append(reply.Removed, entry)
		actions = append(actions, b.action(by, entry, event.Released, cmp.Or(req.Reason, "the block of "+entry.Source+" is removed"), began))
	}
	if err == nil {
		err = list.RemoveBlock(ctx, bus.Block{Prefix: req.Prefix, Scope: req.Scope}) // one that cannot be read
	}
	return reply, errors.Join(err, b.record(ctx, actions...))
}

// action returns the action about an entry, which began at a time.
func (b blocks) action(by string, entry bus.Block, phase event.Phase, reason string, began time.Time) *event.Action {
	id := event.ID(bus.Daemon, b.host, uuid.NewString())
	target := "address:" + entry.Prefix.String() // of a single address as the guard names it
	if entry.Prefix.IsSingleIP() {
		target = "address:" + entry.Prefix.Addr().String()
	}
	if !entry.All() {
		target += " " + entry.Scope.String()
	}
	return &event.Action{
		ID: id, Schema: event.Schema, TraceID: id, Time: time.Now().UTC(), Module: bus.Daemon, Host: b.host, Policy: bus.Operator, Operator: bus.OperatorName(by, b.host),
		AlertID: entry.AlertID, Kind: "block-source", Target: target, Phase: phase, Reason: event.Printable(reason, bus.MaxBlockReason),
		DurationMS: time.Since(began).Milliseconds(),
	}
}

// record publishes actions; the stream of actions keeps them for the audit trail.
func (b blocks) record(ctx context.Context, actions ...*event.Action) error {
	pub, err := b.conn.Publisher(bus.PublisherConfig{Stream: bus.Actions, Module: bus.Daemon, Host: b.host})
	if err != nil {
		return err
	}
	defer pub.Close()
	for _, a := range actions {
		if err = pub.Send(ctx, a); err != nil {
			break
		}
	}
	if err == nil {
		err = pub.Flush(ctx)
	}
	if err != nil {
		return fmt.Errorf("done, but not recorded in the audit trail: %w", err)
	}
	return nil
}
