package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/sirupsen/logrus"
)

// ErrStreamChanged is returned for a stream that was made by a newer version, or differs in
// a setting that cannot be changed.
var ErrStreamChanged = errors.New("stream cannot be changed in place")

// limitMarker is how long a bucket keeps the marker of a key that expired.
const limitMarker = time.Hour

// codeImmutable is the server's code for a setting that cannot be changed.
const codeImmutable = 10052

// Provision makes the streams, the buckets and the durables of the tables, or
// brings existing ones up to date. It must have returned before a module starts. A
// missing durable starts where it is known to have been; else one with FromNew is made to start with new
// records, and Skipped then reports what it does not get. It returns ErrNoLeader if that is why a cluster did not answer.
func (c *Conn) Provision(ctx context.Context, l Limits, durables []Durable) error {
	err := c.provision(ctx, l, durables)
	if err == nil {
		return nil
	}
	if leaders := c.CheckLeaders(ctx); leaders != nil {
		return leaders
	}
	return err
}

func (c *Conn) provision(ctx context.Context, l Limits, durables []Durable) error {
	for _, s := range Streams(l) {
		if err := c.provisionStream(ctx, s); err != nil {
			return fmt.Errorf("stream %s: %w", s.Name, err)
		}
	}
	for _, b := range Buckets(l) {
		if err := c.provisionBucket(ctx, b); err != nil {
			return fmt.Errorf("bucket %s: %w", b.Name, err)
		}
	}
	for _, d := range durables {
		if err := c.provisionDurable(ctx, d); err != nil {
			return fmt.Errorf("durable %s of %s: %w", d.Name, d.Stream, err)
		}
	}
	return nil
}

func (c *Conn) provisionStream(ctx context.Context, s StreamSpec) error {
	if err := c.checkVersion(ctx, s.Name); err != nil {
		return err
	}
	_, err := c.js.CreateOrUpdateStream(ctx, s.config())
	if codeOf(err) == codeImmutable {
		return fmt.Errorf("%w: %w", ErrStreamChanged, err)
	}
	return err
}

func (c *Conn) checkVersion(ctx context.Context, name StreamName) error {
	stream, err := c.js.Stream(ctx, string(name))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	text := stream.CachedInfo().Config.Metadata[versionKey]
	version, err := strconv.Atoi(text)
	if err != nil || version != streamVersion {
		return fmt.Errorf("%w: it has version %q, this program writes %d", ErrStreamChanged, text, streamVersion)
	}
	return nil
}

func (c *Conn) provisionBucket(ctx context.Context, b BucketSpec) error {
	_, err := c.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: b.Name, MaxBytes: b.MaxBytes, Replicas: b.Replicas,
		History: 1, LimitMarkerTTL: limitMarker, Storage: jetstream.FileStorage,
		RePublish: &jetstream.RePublish{Source: "$KV." + b.Name + ".>", Destination: bucketChanges(b.Name), HeadersOnly: true},
	})
	return err
}

func (c *Conn) provisionDurable(ctx context.Context, d Durable) error {
	cfg := d.config()
	have, err := c.js.Consumer(ctx, string(d.Stream), d.Name)
	missing := errors.Is(err, jetstream.ErrConsumerNotFound)
	switch {
	case missing && d.Known != nil:
		h, err := c.Holding(ctx, d.Stream)
		if err != nil {
			return err
		}
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, d.Known.Next(h.Last)
		c.log.WithFields(logrus.Fields{"stream": d.Stream, "durable": d.Name, "sequence": cfg.OptStartSeq}).
			Warn("durable was lost, made anew where it is known to have been")
	case missing && d.FromNew:
		if err := c.recordSkipped(ctx, d); err != nil {
			return err
		}
	}
	if err == nil { // where it starts cannot be changed, and need not be
		cfg.DeliverPolicy = have.CachedInfo().Config.DeliverPolicy
		cfg.OptStartSeq = have.CachedInfo().Config.OptStartSeq
		cfg.Metadata = have.CachedInfo().Config.Metadata
	}
	_, err = c.js.CreateOrUpdateConsumer(ctx, string(d.Stream), cfg)
	return err
}

// recordSkipped counts, for Skipped, the records in the stream that d is not going to get.
func (c *Conn) recordSkipped(ctx context.Context, d Durable) error {
	stream, err := c.js.Stream(ctx, string(d.Stream))
	if err != nil {
		return err
	}
	var skipped uint64
	for _, filter := range d.Filter {
		info, err := stream.Info(ctx, jetstream.WithSubjectFilter(filter))
		if err != nil {
			return err
		}
		for _, n := range info.State.Subjects {
			skipped += n
		}
	}
	if skipped == 0 {
		return nil
	}
	c.mu.Lock()
	c.skipped[d.Name] = skipped
	c.mu.Unlock()
	c.log.WithFields(logrus.Fields{"stream": d.Stream, "durable": d.Name, "skipped": skipped}).
		Warn("durable is new or was deleted, it starts with new records: those stored before are not delivered")
	return nil
}

// Skipped returns how many records the stream held when Provision on this connection made
// the missing durable, which starts with new ones; 0 if it existed or starts with all.
func (c *Conn) Skipped(durable string) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.skipped[durable]
}

func (d Durable) config() jetstream.ConsumerConfig {
	cfg := jetstream.ConsumerConfig{
		Durable:        d.Name,
		FilterSubjects: d.Filter,
		AckPolicy:      jetstream.AckExplicitPolicy,
		AckWait:        ackWait,
		MaxDeliver:     -1,
		MaxAckPending:  d.MaxAckPending,
		DeliverPolicy:  jetstream.DeliverAllPolicy,
	}
	if d.FromNew {
		cfg.DeliverPolicy = jetstream.DeliverNewPolicy
	}
	return cfg
}

func (s StreamSpec) config() jetstream.StreamConfig {
	cfg := jetstream.StreamConfig{
		Name:               string(s.Name),
		Subjects:           []string{s.Capture},
		Storage:            jetstream.FileStorage,
		Discard:            jetstream.DiscardOld,
		MaxAge:             s.MaxAge,
		MaxBytes:           s.MaxBytes,
		MaxMsgSize:         s.MaxMsgSize,
		Duplicates:         s.Duplicates,
		Replicas:           s.Replicas,
		AllowDirect:        true,
		AllowAtomicPublish: s.Synced,
		Metadata:           s.Metadata,
	}
	if s.Republish != "" {
		cfg.RePublish = &jetstream.RePublish{Source: s.Capture, Destination: s.Republish}
	}
	if s.DiscardNew {
		cfg.Discard = jetstream.DiscardNew
	}
	if !s.Synced && s.Replicas == 1 { // refused on a replicated stream
		cfg.PersistMode = jetstream.AsyncPersistMode
	}
	return cfg
}

// codeOf returns the JetStream error code of err, 0 if it has none.
func codeOf(err error) int {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		return int(api.ErrorCode)
	}
	return 0
}
