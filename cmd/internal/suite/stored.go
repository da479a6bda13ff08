package suite

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/embedded"
	"github.com/ironpost/ironpost/internal/manifest"
)

const (
	manifestName = "manifest.json"
	// manifestInterval is how often the manifest is saved if something changed: what was stored later than the last one before a
	// crash is not known to have been there.
	manifestInterval = 2 * time.Second
	// manifestBehind is how much later than the manifest the streams may have been written. The server writes their state within minutes of
	// a change; later is another program, such as a daemon of a version without a manifest.
	manifestBehind = 5 * time.Minute
)

// stored compares what the bus and the data folder hold with what they held before, and keeps the manifest of it. Its methods may
// be called concurrently, but for compare and close. Nil is one that does nothing.
type stored struct {
	dir     string // the data folder
	store   string // of the bus
	modules func(name string) bool
	log     logrus.FieldLogger
	before  manifest.Manifest // of the start before

	mu       sync.Mutex
	conn     *bus.Conn
	durables []bus.Durable
	now      manifest.Manifest
	changed  bool   // since the last save, by lose
	unsaved  string // why the manifest cannot be saved
}

// loadStored reads the manifest of the start before, and compares the files with it. runs reports which modules run.
func loadStored(cfg Config, runs func(name string) bool, log logrus.FieldLogger) (*stored, error) {
	s := &stored{dir: cfg.General.DataDir, store: cfg.Bus.StoreDir, modules: runs, log: log}
	before, found, reason, err := manifest.Load(s.path())
	if err != nil {
		return nil, err
	}
	if at := embedded.ChangedAt(s.store); found && reason == "" && at.Sub(before.Saved) > manifestBehind {
		reason = fmt.Sprintf("%s is of %s, and the bus was in use until %s, as by an older version: what was lost before this start is unknown",
			s.path(), before.Saved.Format(time.RFC3339), at.UTC().Format(time.RFC3339))
		before = manifest.Manifest{Machine: before.Machine, Losses: before.Losses}
	}
	s.before = before
	s.now = manifest.Manifest{Machine: before.Machine, Losses: before.Losses, Streams: maps.Clone(before.Streams)}
	if reason != "" {
		s.lose(busName, reason)
	} else if _, err := os.Stat(filepath.Join(s.store, "jetstream")); !found && err == nil {
		log.Info("there is no manifest of what was stored, as after an upgrade: what was lost before this start is not known")
	}
	for _, c := range manifest.Changes(s.dir, before.Files) {
		if c.Path != machineName { // see machineID
			s.lose(s.ownerOf(c.Path), changeText(c))
		}
	}
	return s, nil
}

func (s *stored) path() string { return filepath.Join(s.dir, manifestName) }

// lose notes and logs that something was lost.
func (s *stored) lose(module, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.AddLoss(module, text, time.Now())
	s.changed = true
	s.log.WithField("of", module).WithField("reason", text).Error("something that was stored is lost or damaged")
}

// known returns how far durables were.
func (s *stored) known() []bus.Position {
	if s == nil {
		return nil
	}
	var out []bus.Position
	for _, key := range slices.Sorted(maps.Keys(s.before.Durables)) {
		d := s.before.Durables[key]
		out = append(out, bus.Position{
			Stream: bus.StreamName(d.Stream), Name: d.Name, Done: d.Done, Floor: d.Floor, Delivered: d.Delivered, Exact: s.before.Clean,
		})
	}
	return out
}

// compare tells what the streams, buckets and durables of an open bus lost since the manifest was saved, and writes back the
// blocks that were lost.
func (s *stored) compare(ctx context.Context, b *connections) error {
	s.mu.Lock()
	s.conn, s.durables = b.admin, b.durables
	s.mu.Unlock()
	for _, a := range b.server.SetAside() {
		s.lose(busName, s.setAsideText(a))
	}
	holdings, err := b.admin.Holdings(ctx)
	if err != nil {
		return err
	}
	for _, h := range holdings {
		if h.Bucket != "" {
			if err := s.compareBucket(ctx, h); err != nil {
				return err
			}
			continue
		}
		if n := s.before.Streams[string(h.Stream)].Lost(streamOfHolding(h), time.Now(), h.MaxAge); n > 0 {
			s.lose(busName, fmt.Sprintf("%d stored messages of %s are gone: the files of the bus were damaged or replaced", n, h.Stream))
		}
	}
	if err := s.saveNow(ctx); err != nil {
		return err
	}
	return b.server.Opened()
}

// setAsideText says what it means that a was moved out of the store.
func (s *stored) setAsideText(a bus.SetAside) string {
	switch {
	case a.Stream == "":
		return fmt.Sprintf("the files of all streams were moved to %s and made anew (%s): how many messages are gone is said for each stream, or unknown", a.Path, a.Why)
	case a.Rest:
		return fmt.Sprintf("the stream %s was damaged: %s; the damaged file was moved to %s, how many messages it held is unknown", a.Stream, a.Why, a.Path)
	case a.Name == "":
		return fmt.Sprintf("the stream %s was damaged (%s), moved to %s and made anew: how many changes are gone is unknown", a.Stream, a.Why, a.Path)
	}
	text := fmt.Sprintf("the state of the durable %s on %s was gone", a.Name, a.Stream)
	if a.Path != "" {
		text = fmt.Sprintf("the state of the durable %s on %s was damaged (%s) and moved to %s", a.Name, a.Stream, a.Why, a.Path)
	}
	return text + ": it was made anew where it is known to have been, " + s.from(a)
}

// from says where a durable that was set aside goes on.
func (s *stored) from(a bus.SetAside) string {
	d, ok := s.before.Durables[manifest.DurableKey(string(a.Stream), a.Name)]
	if !ok {
		return "which is not known: with new messages, or with all"
	}
	return fmt.Sprintf("after message %d", d.Done)
}

// compareBucket tells which entries the bucket lost. Blocks are written back.
func (s *stored) compareBucket(ctx context.Context, h bus.Holding) error {
	was := s.before.Streams[string(h.Stream)]
	bucket, err := s.conn.KV(ctx, h.Bucket)
	if err != nil {
		return err
	}
	var entries []bus.KVEntry
	for _, e := range s.before.Entries[h.Bucket] {
		if _, wanted := entryTTL(e.Value); wanted {
			entries = append(entries, bus.KVEntry{Key: e.Key, Value: e.Value})
		}
	}
	lost, err := bucket.Missing(ctx, entries)
	switch {
	case err != nil:
		return err
	case len(lost) == 0 && h.Last < was.Last:
		s.lose(busName, fmt.Sprintf("the last %d changes of the bucket %s are gone: the files of the bus were damaged or replaced", was.Last-h.Last, h.Bucket))
		return nil
	case len(lost) == 0:
		return nil
	}
	outcome := "are gone"
	if h.Bucket == bus.BlocklistBucket {
		outcome = "were gone and were written back"
		if err := writeBack(ctx, bucket, lost); err != nil {
			outcome = fmt.Sprintf("are gone and could not be written back (%v)", err)
		}
	}
	s.lose(busName, fmt.Sprintf("%d entries of the bucket %s %s, among them %s: the files of the bus were damaged or replaced", len(lost), h.Bucket, outcome, lost[0].Key))
	return nil
}

// writeBack writes blocks back into bucket, for the rest of their times.
func writeBack(ctx context.Context, bucket *bus.KV, blocks []bus.KVEntry) error {
	for _, e := range blocks {
		if ttl, wanted := entryTTL(e.Value); wanted {
			if _, err := bucket.Put(ctx, e.Key, e.Value, ttl); err != nil {
				return err
			}
		}
	}
	return nil
}

// entryTTL returns how long an entry with a value is still to be kept: for the rest of its time, if it says when it expires.
func entryTTL(text []byte) (ttl time.Duration, wanted bool) {
	var value struct {
		Expires time.Time `json:"expires"`
	}
	if json.Unmarshal(text, &value) != nil || value.Expires.IsZero() {
		return 0, true
	}
	left := time.Until(value.Expires)
	return left, left > 0
}

func streamOfHolding(h bus.Holding) manifest.Stream {
	return manifest.Stream{First: h.First, Last: h.Last, Messages: h.Messages, FirstAt: h.FirstAt.UTC(), Full: h.Full}
}

// run saves the manifest until ctx ends.
func (s *stored) run(ctx context.Context) error {
	ticker := time.NewTicker(manifestInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			err := s.saveNow(ctx)
			s.mu.Lock()
			s.unsaved = ""
			if err != nil && ctx.Err() == nil {
				s.unsaved = "what is stored cannot be noted, so a loss would not be noticed: " + err.Error()
			}
			s.mu.Unlock()
		}
	}
}

// setDurables has the manifest tell of other durables.
func (s *stored) setDurables(durables []bus.Durable) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.durables = durables
}

// saveNow saves what is stored now, if it changed.
func (s *stored) saveNow(ctx context.Context) error {
	next, err := s.read(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	next.Losses = slices.Clone(s.now.Losses)
	changed := s.changed || s.now.Saved.IsZero() || !reflect.DeepEqual(withoutTime(s.now), withoutTime(next))
	s.mu.Unlock()
	if !changed {
		return nil
	}
	return s.save(next)
}

func withoutTime(m manifest.Manifest) manifest.Manifest {
	m.Saved = time.Time{}
	return m
}

func (s *stored) save(next manifest.Manifest) error {
	now := time.Now()
	if err := next.Save(s.path(), now); err != nil {
		return err
	}
	next.Saved = now
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(next.Losses) < len(s.now.Losses) { // one more was found meanwhile
		next.Losses = s.now.Losses
		s.changed = true
	} else {
		s.changed = false
	}
	s.now = next
	return nil
}

// read returns what is stored now.
func (s *stored) read(ctx context.Context) (manifest.Manifest, error) {
	s.mu.Lock()
	durables, now := s.durables, s.now
	s.mu.Unlock()
	next := manifest.Manifest{
		Machine: now.Machine, Streams: map[string]manifest.Stream{}, Durables: map[string]manifest.Durable{}, Entries: map[string][]manifest.Entry{},
		Files: s.files(false),
	}
	positions, err := s.conn.Positions(ctx, durables)
	if err != nil {
		return next, err
	}
	for _, p := range positions {
		next.Durables[manifest.DurableKey(string(p.Stream), p.Name)] = manifest.Durable{
			Stream: string(p.Stream), Name: p.Name, Done: p.Done, Floor: p.Floor, Delivered: p.Delivered,
		}
	}
	holdings, err := s.conn.Holdings(ctx)
	if err != nil {
		return next, err
	}
	for _, h := range holdings {
		was := now.Streams[string(h.Stream)]
		next.Streams[string(h.Stream)] = was.Next(streamOfHolding(h), time.Now(), h.MaxAge)
		if h.Bucket == "" {
			continue
		}
		if have, known := now.Entries[h.Bucket]; known && was.Last == h.Last && was.Messages == h.Messages {
			next.Entries[h.Bucket] = have
		} else if next.Entries[h.Bucket], err = s.entries(ctx, h.Bucket); err != nil {
			return next, err
		}
	}
	return next, nil
}

func (s *stored) entries(ctx context.Context, bucket string) ([]manifest.Entry, error) {
	kv, err := s.conn.KV(ctx, bucket)
	if err != nil {
		return nil, err
	}
	have, err := kv.List(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]manifest.Entry, 0, len(have))
	for _, e := range have {
		out = append(out, manifest.Entry{Key: e.Key, Value: e.Value})
	}
	return out, nil
}

// readLast reads what is stored, when the modules have stopped and the bus has not.
func (s *stored) readLast(ctx context.Context) error {
	if s == nil {
		return nil
	}
	next, err := s.read(ctx)
	if err != nil {
		return fmt.Errorf("manifest of what is stored: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next.Losses, next.Clean = s.now.Losses, true
	s.now = next
	return nil
}

// close saves the manifest when the bus has stopped: from now on nothing changes.
func (s *stored) close() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	next := s.now
	s.mu.Unlock()
	if !next.Clean {
		return nil
	}
	at := embedded.Positions(s.store)
	for key, d := range next.Durables {
		if p, ok := at[[2]string{d.Stream, d.Name}]; ok {
			d.Floor, d.Delivered = p[0], p[1]
			next.Durables[key] = d
		} else {
			delete(next.Durables, key)
		}
	}
	next.Files = s.files(true)
	return s.save(next)
}

// reasons returns what was found lost within a day, by module.
func (s *stored) reasons() map[string][]string {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.now.Reasons(time.Now())
	if s.unsaved != "" {
		out[busName] = append(out[busName], s.unsaved)
	}
	return out
}
