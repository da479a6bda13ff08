package bus

import (
	"context"
	"errors"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/sirupsen/logrus"
)

var errPending = errors.New("being built")

const ackWait = 30 * time.Second

// PublisherConfig says what a Publisher publishes: to which stream, as whom.
// InFlight bounds Send's window; zero means 256.
type PublisherConfig struct {
	Stream   StreamName
	Module   string
	Host     string
	InFlight int
}

// Publisher publishes records of one module to one stream, in order.
type Publisher struct{ cfg PublisherConfig }

// PublisherStats counts what a Publisher did.
type PublisherStats struct {
	Published      uint64
	Duplicates     uint64
	Retries        uint64
	Refused        uint64
	BlockedSince   time.Time // zero: not blocked now
	BlockedSeconds float64   // in total
}

// Stored is a record as the stream holds it.
type Stored struct {
	ID       string
	Subject  string
	Sequence uint64
	Time     time.Time
	Data     []byte
}

// Publisher returns a publisher.
func (c *Conn) Publisher(cfg PublisherConfig) (*Publisher, error) { return nil, errPending }

// Publish returns when all of recs are stored; an error that is ErrInvalid means the named were refused, the others are stored.
func (p *Publisher) Publish(ctx context.Context, recs ...event.Record) error { return errPending }

// Send sends rec without waiting for it to be stored; it blocks while the window is full.
func (p *Publisher) Send(ctx context.Context, rec event.Record) error { return errPending }

// Flush waits until everything sent is stored.
func (p *Publisher) Flush(ctx context.Context) error { return errPending }

// Resume reads back what this publisher's subject stored after sequence after, and makes Publish skip it.
func (p *Publisher) Resume(ctx context.Context, after uint64, each func(Stored) error) error {
	return errPending
}

// LastSeq returns the newest acknowledged stream sequence of ours.
func (p *Publisher) LastSeq() uint64 { return 0 }

// Stats returns the counts so far.
func (p *Publisher) Stats() PublisherStats { return PublisherStats{} }

// Delivery is one message.
type Delivery struct {
	Stream   StreamName
	Durable  string
	Subject  string
	ID       string
	Header   map[string][]string
	Data     []byte
	Sequence uint64
	Attempt  int
	Stored   time.Time
}

// Handler handles one delivery: nil acknowledges it, Reject moves it to the dead letters, any other error has it delivered again later.
type Handler func(ctx context.Context, d Delivery) error

// Reject marks err as one that delivering again does not mend.
func Reject(err error) error { return err }

// ConsumeOptions tunes Consume. Drain bounds how long it goes on after its context ended; Prefetch bounds what waits locally (default 64).
type ConsumeOptions struct {
	Host     string
	Drain    time.Duration
	Prefetch int
	Retry    time.Duration // delay before a failed delivery comes again, default 1 s
	Log      logrus.FieldLogger
}

// Consume blocks.
func (c *Conn) Consume(ctx context.Context, d Durable, o ConsumeOptions, h Handler) error {
	return errPending
}

// HistoryOptions selects what History reads.
type HistoryOptions struct {
	Since  time.Time // zero: from the beginning
	Filter string    // a subject, may have wildcards; empty: all
	Limit  int       // the most messages, 0: no limit
}

// History reads what a stream holds, oldest first, until each returns false.
func (c *Conn) History(ctx context.Context, s StreamName, o HistoryOptions, each func(Delivery) bool) error {
	return errPending
}

// Follow calls each for what is published on feed from now on, until ctx ends.
func (c *Conn) Follow(ctx context.Context, feed string, each func(subject string, header map[string][]string, data []byte)) error {
	return errPending
}

// KV is a bucket.
type KV struct{}

// KVEntry is a key and its value.
type KVEntry struct {
	Key      string
	Value    []byte
	Revision uint64
}

// KVEvent is either a whole Snapshot (Entries, sorted by key) or one change: Put, or a removal of Key.
type KVEvent struct {
	Snapshot bool
	Entries  []KVEntry
	Removed  bool
	Entry    KVEntry
}

// KV binds a bucket that Provision made.
func (c *Conn) KV(ctx context.Context, bucket string) (*KV, error) { return nil, errPending }

// Get returns the value and its revision, or ErrNotFound.
func (k *KV) Get(ctx context.Context, key string) ([]byte, uint64, error) { return nil, 0, errPending }

// Put writes key; a ttl > 0 (at least 1 s) removes it again after that.
func (k *KV) Put(ctx context.Context, key string, value []byte, ttl time.Duration) (uint64, error) {
	return 0, errPending
}

// Create writes key if it is not there, else returns ErrConflict.
func (k *KV) Create(ctx context.Context, key string, value []byte, ttl time.Duration) (uint64, error) {
	return 0, errPending
}

// Update writes key if its revision still is revision, else returns ErrConflict.
func (k *KV) Update(ctx context.Context, key string, value []byte, revision uint64, ttl time.Duration) (uint64, error) {
	return 0, errPending
}

// Delete removes key.
func (k *KV) Delete(ctx context.Context, key string) error { return errPending }

// List returns what the bucket holds, sorted by key.
func (k *KV) List(ctx context.Context) ([]KVEntry, error) { return nil, errPending }

// Watch calls each with a snapshot, then with every change, and with a snapshot again after every reconnect, until ctx ends.
func (k *KV) Watch(ctx context.Context, each func(KVEvent)) error { return errPending }

// Request asks subject and decodes the JSON answer into resp; ErrUnreachable if nobody listens.
func (c *Conn) Request(ctx context.Context, subject string, req, resp any) error { return errPending }

// Verb answers one request; its result is encoded as JSON.
type Verb func(ctx context.Context, request []byte) (any, error)

// ServiceConfig describes a micro service.
type ServiceConfig struct {
	Module  string
	Host    string
	Version string
	Verbs   map[string]Verb
}

// Serve answers requests until stop is called, which waits for answers under way.
func (c *Conn) Serve(ctx context.Context, s ServiceConfig) (stop func(), err error) {
	return nil, errPending
}

// ServiceStatus is one service's answer to Discover.
type ServiceStatus struct {
	Module  string
	Host    string
	Version string
}

// Discover returns the services that answer within wait.
func (c *Conn) Discover(ctx context.Context, wait time.Duration) ([]ServiceStatus, error) {
	return nil, errPending
}

// JanitorConfig says what the janitor may rely on. The zero Every is 1 s, the zero Unseen 7 days.
type JanitorConfig struct {
	Durables []Durable
	Every    time.Duration
	Unseen   time.Duration
	Log      logrus.FieldLogger
}

// ShedReport is what one look found.
type ShedReport struct {
	Purged  map[StreamName]uint64
	Removed []string
	Reasons []string // durables that are missing or hold up a nearly full stream
}

// Shed looks once.
func (c *Conn) Shed(ctx context.Context, cfg JanitorConfig) (ShedReport, error) {
	return ShedReport{}, errPending
}

// RunJanitor looks every second until ctx ends; tell gets each report, may be nil.
func (c *Conn) RunJanitor(ctx context.Context, cfg JanitorConfig, tell func(ShedReport)) error {
	return errPending
}

// DurableState is how far a durable is.
type DurableState struct {
	Name        string
	Present     bool
	Pending     uint64
	AckPending  int
	Redelivered int
	AckFloor    uint64
}

// StreamState is what a stream holds.
type StreamState struct {
	Name     StreamName
	Messages uint64
	Bytes    uint64
	MaxBytes int64
	FirstSeq uint64
	LastSeq  uint64
	Durables []DurableState
}

// StreamStates returns the state of every stream and of the given durables.
func (c *Conn) StreamStates(ctx context.Context, durables []Durable) ([]StreamState, error) {
	return nil, errPending
}
