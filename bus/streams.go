package bus

import (
	"maps"
	"time"

	"github.com/ironpost/ironpost/event"
)

// StreamName names a stream.
type StreamName string

// The streams.
const (
	Packets StreamName = "IRONPOST_PACKETS"
	Alerts  StreamName = "IRONPOST_ALERTS"
	Actions StreamName = "IRONPOST_ACTIONS"
	DLQ     StreamName = "IRONPOST_DLQ"
)

// The buckets: blocks in force, and the head of the audit chain.
const (
	BlocklistBucket = "ironpost_blocklist"
	AuditBucket     = "ironpost_audit"
)

// DuplicatesWindow is how long a stream remembers the ids it stored.
const DuplicatesWindow = 2 * time.Minute

// streamVersion changes with anything about a stream that cannot be changed in
// place; versionKey is where a stream carries it.
const (
	streamVersion = 1
	versionKey    = "ironpost-version"
)

// Room for headers beside a record, and for what the DLQ adds.
const (
	maxMessage    = event.MaxSize + 8<<10
	maxDLQMessage = maxMessage + 8<<10
)

// Limits is what bounds the streams. MaxStoreBytes is shared out among them, with
// a seventh left for batches in flight; Retention is the age of alerts and
// actions; Replicas is 1 on an embedded server.
type Limits struct {
	MaxStoreBytes int64
	Retention     time.Duration
	Replicas      int

	duplicates time.Duration // shortened by tests
}

// StreamSpec is one row of the table of streams. Feed is where stored messages are
// republished, empty for nowhere. A stream with DiscardNew refuses what does not
// fit; the others drop their oldest. Synced streams reach the disk before they
// acknowledge, where the server is told so, and take atomic batches.
type StreamSpec struct {
	Name       StreamName
	Capture    string
	Republish  string
	DiscardNew bool
	Synced     bool
	MaxAge     time.Duration
	MaxBytes   int64
	MaxMsgSize int32
	Duplicates time.Duration
	Replicas   int
	Metadata   map[string]string
}

// Streams returns the table of streams for l.
func Streams(l Limits) []StreamSpec {
	l = l.filled()
	row := StreamSpec{
		MaxMsgSize: maxMessage, Duplicates: l.duplicates, Replicas: l.Replicas,
		Metadata: map[string]string{versionKey: "1"},
	}
	return []StreamSpec{
		row.telemetry(Packets, RepublishedPackets, l.share(8), time.Hour),
		row.history(Alerts, RepublishedAlerts, 3*l.share(8), l.Retention),
		row.history(Actions, RepublishedActions, l.share(4), l.Retention),
		row.deadLetters(l.share(16)),
	}
}

func (s StreamSpec) telemetry(name StreamName, feed string, bytes int64, age time.Duration) StreamSpec {
	s.Name, s.Capture, s.Republish, s.MaxBytes, s.MaxAge = name, feed+".*.*", feed, bytes, age
	s.Metadata = maps.Clone(s.Metadata)
	return s
}

func (s StreamSpec) history(name StreamName, feed string, bytes int64, age time.Duration) StreamSpec {
	s = s.telemetry(name, feed, bytes, age)
	s.DiscardNew, s.Synced = true, true
	return s
}

func (s StreamSpec) deadLetters(bytes int64) StreamSpec {
	s = s.telemetry(DLQ, dlqRoot, bytes, 30*24*time.Hour)
	s.Republish, s.MaxMsgSize = "", maxDLQMessage
	return s
}

// filled gives the zero value of each limit its meaning.
func (l Limits) filled() Limits {
	if l.MaxStoreBytes <= 0 {
		l.MaxStoreBytes = 4 << 30
	}
	if l.Retention <= 0 {
		l.Retention = 30 * 24 * time.Hour
	}
	if l.Replicas <= 0 {
		l.Replicas = 1
	}
	if l.duplicates <= 0 {
		l.duplicates = DuplicatesWindow
	}
	return l
}

func (l Limits) share(nth int64) int64 { return l.MaxStoreBytes / nth }

// BucketSpec is one row of the table of buckets.
type BucketSpec struct {
	Name     string
	MaxBytes int64
	Replicas int
}

// Buckets returns the table of buckets for l.
func Buckets(l Limits) []BucketSpec {
	l = l.filled()
	return []BucketSpec{
		{Name: BlocklistBucket, MaxBytes: l.share(32), Replicas: l.Replicas},
		{Name: AuditBucket, MaxBytes: l.share(64), Replicas: l.Replicas},
	}
}
