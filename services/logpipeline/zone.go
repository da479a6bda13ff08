package logpipeline

import (
	"cmp"
	"net/netip"
	"strconv"
	"time"

	"github.com/ironpost/ironpost/services/logpipeline/parse"
	"github.com/ironpost/ironpost/services/logpipeline/syslog"
	"github.com/ironpost/ironpost/services/logpipeline/zones"
)

const (
	// logTimeField is what a line says of its time where the receipt counts instead.
	logTimeField = "log_time"
	// maxOld is how long before its receipt a line may say that it was written and still be believed.
	maxOld = 24 * time.Hour
)

// learnedZones are the zones of sources. Those of senders are apart: they can make as many as they want.
type learnedZones struct {
	here, peers zones.Table
}

// savedZones are learnedZones in a checkpoint.
type savedZones struct {
	Here  []zones.Saved `json:"here,omitempty"`
	Peers []zones.Saved `json:"peers,omitempty"`
}

func (z *learnedZones) save() *savedZones {
	return &savedZones{Here: z.here.Save(), Peers: z.peers.Save()}
}

func (z *learnedZones) restore(saved *savedZones) {
	if saved != nil {
		z.here.Restore(saved.Here)
		z.peers.Restore(saved.Peers)
	}
}

// sourceZone is how times of a source that name no zone are read.
type sourceZone struct {
	name   string
	learn  bool
	source *zones.Source // nil: nothing is learned of it
	of     parse.Input   // what its lines are parsed with
}

// zoneOf returns how lines of the source name are read, whose settings are of. table has it if its zone is learned.
func (c *chunk) zoneOf(table *zones.Table, of *inputSettings, name string) *sourceZone {
	z := &c.zone
	if z.name != name {
		*z = sourceZone{name: name, learn: of.learn}
		if of.learn {
			z.source = table.Of(name, c.read)
		}
	}
	z.of = of.parse
	if z.learn {
		z.of.Location = z.source.Location()
	}
	return z
}

// date sets the time of in, which was parsed with z, and learns from it. A live line came when it was written, or soon after; what it says
// of its time is not believed if that is long ago. The age of a line that is not live never follows from what was learned.
func (s *Service) date(in *input, z *sourceZone, live bool) {
	zoneless := z.learn && !in.Time.IsZero() && in.Time.Location() == z.of.Location
	if zoneless {
		in.zone = z.of.Location.String()
	}
	if in.backlog {
		in.received = in.ageFrom(zoneless)
	}
	if !live {
		return
	}
	if zoneless && z.source.Observe(in.Time, in.received) {
		s.log.WithField("source", z.name).WithField("timezone", z.source.Location().String()).Info("time zone of a source learned")
	}
	if !in.Time.IsZero() && in.received.Sub(in.Time) > maxOld {
		in.disbelieve()
	}
}

// ageFrom returns what the age of a line from before anybody read it is counted from: its time, read in the zone of this
// machine if it is zoneless.
func (in *input) ageFrom(zoneless bool) time.Time {
	t := in.Time
	if !zoneless || t.Location() == time.Local {
		return in.time
	}
	t = time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.Local)
	if t.After(in.received.Add(maxAhead)) {
		return in.received
	}
	return t
}

// peerOf names the source of a received message: whom a certificate proves, else the address without its port, or the user.
func peerOf(r syslog.Record) string {
	who := r.Name
	if addr, err := netip.ParseAddrPort(r.Peer); who == "" && err == nil {
		who = addr.Addr().String()
	}
	if r.UID != nil {
		who = cmp.Or(who, "uid "+strconv.FormatUint(uint64(*r.UID), 10))
	}
	return r.Transport + ":" + who
}
