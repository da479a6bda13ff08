package bus

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/sirupsen/logrus"
)

// seenKey is where a durable carries when it was last consumed, so that the time
// the daemon was down counts too.
const seenKey = "ironpost-seen"

// How often a sighting is written down, and how long after its own start a janitor
// removes nothing, so that consumers elsewhere can come back first.
const (
	noteEvery  = time.Hour
	graceStart = 10 * time.Minute
)

// lookEvery bounds how often all durables are listed.
const lookEvery = time.Minute

// sightings is when a janitor started, and last listed all durables; of each durable
// of the table, up to which sequence it was done, or since when it is missing.
type sightings struct {
	started time.Time
	looked  time.Time
	done    map[string]uint64
	gone    map[string]time.Time
}

func newSightings() *sightings {
	return &sightings{started: time.Now(), done: map[string]uint64{}, gone: map[string]time.Time{}}
}

// removeUnseen removes durables that are not of the table and that nobody consumed
// for cfg.Unseen, and returns their names.
func (c *Conn) removeUnseen(ctx context.Context, cfg MaintenanceConfig, seen *sightings) ([]string, error) {
	if time.Since(seen.looked) < min(lookEvery, cfg.StaleAfter) {
		return nil, nil
	}
	var removed []string
	for _, name := range []StreamName{Packets, Alerts, Actions} {
		gone, err := c.removeUnseenOf(ctx, name, cfg, seen)
		if err != nil {
			return removed, fmt.Errorf("durables of %s: %w", name, err)
		}
		removed = append(removed, gone...)
	}
	seen.looked = time.Now()
	return removed, nil
}

func (c *Conn) removeUnseenOf(ctx context.Context, name StreamName, cfg MaintenanceConfig, seen *sightings) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	stream, err := c.js.Stream(ctx, string(name))
	if err != nil {
		return nil, err
	}
	var removed []string
	list := stream.ListConsumers(ctx)
	for info := range list.Info() {
		if info.Config.Durable == "" || cfg.lists(name, info.Name) {
			continue
		}
		gone, err := c.visit(ctx, stream, info, cfg, seen.started)
		if err != nil {
			return removed, err
		}
		if gone {
			removed = append(removed, info.Name)
		}
	}
	return removed, list.Err()
}

func (cfg MaintenanceConfig) lists(stream StreamName, name string) bool {
	return slices.ContainsFunc(cfg.Durables, func(d Durable) bool { return d.Stream == stream && d.Name == name })
}

// visit notes that a durable is consumed, or removes it if it has not been for long. What
// it has not acknowledged proves nothing: it stays until somebody pulls again.
func (c *Conn) visit(ctx context.Context, stream jetstream.Stream, info *jetstream.ConsumerInfo, cfg MaintenanceConfig, started time.Time) (bool, error) {
	noted, seen := notedAt(info), seenAt(info)
	if seen.Sub(noted) >= noteEvery {
		return false, note(ctx, stream, info, seen)
	}
	seen = later(noted, seen)
	if time.Since(seen) < cfg.StaleAfter || time.Since(started) < min(graceStart, cfg.StaleAfter) {
		return false, nil
	}
	if err := stream.DeleteConsumer(ctx, info.Name); err != nil {
		return false, err
	}
	cfg.Log.WithFields(logrus.Fields{"stream": info.Stream, "durable": info.Name, "unseen_since": seen}).
		Error("durable removed, nobody consumed it")
	return true, nil
}

// notedAt returns the last sighting that was written down, at first the making.
func notedAt(info *jetstream.ConsumerInfo) time.Time {
	at, err := time.Parse(time.RFC3339, info.Config.Metadata[seenKey])
	if err != nil {
		return info.Created
	}
	return at
}

// seenAt returns when the server saw the durable consumed: now if a pull waits. Who pulls
// nothing because it is busy has got or acknowledged something before.
func seenAt(info *jetstream.ConsumerInfo) time.Time {
	if info.NumWaiting > 0 {
		return time.Now()
	}
	return usedAt(info)
}

// usedAt returns when the durable last got or acknowledged something; the server forgets
// it when it starts anew.
func usedAt(info *jetstream.ConsumerInfo) (at time.Time) {
	for _, last := range []*time.Time{info.Delivered.Last, info.AckFloor.Last} {
		if last != nil {
			at = later(at, *last)
		}
	}
	return at
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func note(ctx context.Context, stream jetstream.Stream, info *jetstream.ConsumerInfo, seen time.Time) error {
	cfg := info.Config
	cfg.Metadata = maps.Clone(cfg.Metadata)
	if cfg.Metadata == nil {
		cfg.Metadata = map[string]string{}
	}
	cfg.Metadata[seenKey] = seen.UTC().Format(time.RFC3339)
	_, err := stream.UpdateConsumer(ctx, cfg)
	return err
}
