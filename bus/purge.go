package bus

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/sirupsen/logrus"
)

const (
	// nearlyFull is the share of a stream's bytes above which it is purged, and purgeShare
	// how much of them a purge frees, so far as its durables allow.
	nearlyFull = 0.90
	purgeShare = 0.15
	// busyTime is how long a consumer that makes no pull request may be busy with its
	// deliveries.
	busyTime = 5 * time.Minute
)

// purge removes the oldest messages of a nearly full stream that no durable needs, or
// reports which durables keep it full.
func (m *maintenance) purge(ctx context.Context, s StreamState, report *MaintenanceReport) error {
	for _, d := range s.Durables {
		if !d.Present {
			m.addReason(report, d.Name, fmt.Sprintf("%s has lost its durable %s", s.Name, d.Name))
		}
	}
	if !s.isNearlyFull() {
		return nil
	}
	others, err := m.otherHostsDurables(ctx, s.Name)
	if err != nil {
		return err
	}
	s.Durables = append(s.Durables, others...)
	purged, err := m.c.purgeOldest(ctx, s)
	if err != nil {
		return err
	}
	if purged > 0 {
		report.Purged[s.Name] += purged
		m.cfg.Log.WithFields(logrus.Fields{"stream": s.Name, "purged": purged, "bytes": s.Bytes, "max_bytes": s.MaxBytes}).
			Warn("stream nearly full, oldest messages removed")
		return nil
	}
	for _, d := range s.Durables {
		if d.Present && d.doneThrough(s.LastSeq) < s.LastSeq {
			m.addReason(report, d.Name, m.fullBecauseOf(s.Name, d))
		}
	}
	return nil
}

// otherHostsDurables returns the state of the durables of other hosts' tables: where hosts
// share the streams, what another host has not handled must not be purged.
func (m *maintenance) otherHostsDurables(ctx context.Context, name StreamName) ([]DurableState, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	stream, err := m.c.js.Stream(ctx, string(name))
	if err != nil {
		return nil, err
	}
	var others []DurableState
	list := stream.ListConsumers(ctx)
	for info := range list.Info() {
		host := info.Name[strings.LastIndexByte(info.Name, '_')+1:]
		ofTable := slices.ContainsFunc(Durables(host, everyModule(), InFlight{}), func(d Durable) bool {
			return d.Stream == name && d.Name == info.Name
		})
		if ofTable && host != m.c.host && !m.inTable(name, info.Name) {
			others = append(others, stateOf(info))
		}
	}
	return others, list.Err()
}

// purgeOldest removes enough of the oldest messages to make room, or as many as no durable
// needs, and returns how many. Deliveries that failed and wait for their redelivery may
// be redelivered up to ackWait later for it: the server forgets its queue of them.
func (c *Conn) purgeOldest(ctx context.Context, s StreamState) (uint64, error) {
	needless := s.LastSeq // the last sequence that no durable needs
	for _, d := range s.Durables {
		if !d.Present {
			return 0, nil
		}
		needless = min(needless, d.doneThrough(s.LastSeq))
	}
	excess := float64(s.Bytes) - s.highMark() + purgeShare*float64(s.MaxBytes)
	average := float64(s.Bytes) / float64(max(s.Messages, 1))
	surplus := uint64(max(1, excess/max(average, 1))) // messages
	upTo := min(needless, s.FirstSeq+surplus-1)
	if s.Messages == 0 || upTo < s.FirstSeq {
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	stream, err := c.js.Stream(ctx, string(s.Name))
	if err != nil {
		return 0, err
	}
	before := stream.CachedInfo().State.FirstSeq
	if err := stream.Purge(ctx, jetstream.WithPurgeSequence(upTo+1)); err != nil {
		return 0, err
	}
	return upTo + 1 - min(before, upTo+1), nil
}

// highMark is how many bytes make the stream nearly full. It leaves room for at least two
// of the largest messages.
func (s StreamState) highMark() float64 {
	return max(0, min(nearlyFull*float64(s.MaxBytes), float64(s.MaxBytes-2*maxMessage)))
}

func (s StreamState) isNearlyFull() bool { return s.MaxBytes > 0 && float64(s.Bytes) > s.highMark() }

// fullBecauseOf says that d keeps a stream full and, if its host may be gone for good,
// what to do.
func (m *maintenance) fullBecauseOf(stream StreamName, d DurableState) string {
	reason := fmt.Sprintf("%s is nearly full and %s is behind by %d", stream, d.Name, d.Pending+uint64(d.AckPending))
	if m.inTable(stream, d.Name) || d.Waiting > 0 || time.Since(d.LastUsed) < busyTime {
		return reason
	}
	const day = 24 * time.Hour
	after := fmt.Sprintf("%.3g hours", m.cfg.StaleAfter.Hours())
	if m.cfg.StaleAfter >= day {
		after = fmt.Sprintf("%d days", m.cfg.StaleAfter/day)
	}
	return fmt.Sprintf("%s, and nothing consumes it: start its module on that host again; if the module was disabled or the host is gone for good, "+
		"do nothing: the durable is removed automatically %s after its last use", reason, after)
}
