package bus

import (
	"cmp"
	"strconv"
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

// The buckets: blocks in force, the head of the audit chain, and the trust of plug-ins.
const (
	BlocklistBucket = "ironpost_blocklist"
	AuditBucket     = "ironpost_audit"
	TrustBucket     = "ironpost_trust"
)

// DuplicatesWindow is how long a stream remembers the ids it stored.
const DuplicatesWindow = 2 * time.Minute

// streamVersion changes with anything about a stream that cannot be changed in
// place; versionKey is where a stream carries it.
const (
	streamVersion = 1
	versionKey    = "ironpost-version"
)

// The largest messages: a record and its headers, and those that a dead letter adds.
const (
	maxMessage    = event.MaxSize + 8<<10
	maxDLQMessage = maxMessage + 8<<10
)

// Limits bounds the streams. MaxStoreBytes is divided among them, with a seventh left for
// pending batches; Retention is the greatest age of alerts and actions; Replicas is 1 on an
// embedded server.
type Limits struct {
	MaxStoreBytes int64
	Retention     time.Duration
	Replicas      int

	duplicates time.Duration // shortened by tests
}

// StreamSpec is one row of the table of streams. Republish is the subject on which stored
// messages are republished, empty for none. A stream with DiscardNew refuses messages that do
// not fit; the others drop their oldest. Synced streams write to the disk before they
// acknowledge, if the server is configured so, and take atomic batches.
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
	specs := []StreamSpec{
		{Name: Packets, Republish: RepublishedPackets, MaxBytes: l.share(8), MaxAge: time.Hour},
		{Name: Alerts, Republish: RepublishedAlerts, MaxBytes: 3 * l.share(8), MaxAge: l.Retention, DiscardNew: true, Synced: true},
		{Name: Actions, Republish: RepublishedActions, MaxBytes: l.share(4), MaxAge: l.Retention, DiscardNew: true, Synced: true},
		{Name: DLQ, MaxBytes: l.share(16), MaxAge: 30 * 24 * time.Hour, MaxMsgSize: maxDLQMessage},
	}
	for i := range specs {
		s := &specs[i]
		s.Capture, s.MaxMsgSize = cmp.Or(s.Republish, dlqRoot)+".*.*", cmp.Or(s.MaxMsgSize, maxMessage)
		s.Duplicates, s.Replicas = l.duplicates, l.Replicas
		s.Metadata = map[string]string{versionKey: strconv.Itoa(streamVersion)}
	}
	return specs
}

// filled returns l with defaults in place of zero values.
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
		{Name: TrustBucket, MaxBytes: l.share(256), Replicas: l.Replicas},
	}
}
