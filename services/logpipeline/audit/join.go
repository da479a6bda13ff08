package audit

import (
	"slices"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline/inputstats"
)

const (
	// The bounds of a Joiner: unfinished events, the bytes of one and of all, and the records of one.
	maxGroups     = 64
	maxGroupBytes = 64 << 10
	maxBytes      = 1 << 20
	maxRecords    = 256
	// An event is taken as finished when one of its sender has a serial that is larger by serialsApart, or happened maxApart later.
	serialsApart = 16
	maxApart     = 2 * time.Second
)

// Line is a record as it was read: its text, which Parse takes, the position that identifies it, and where it came from. Sender tells apart
// what has serials of its own, machines whose records come in one source, and who may not add to the events of another: see senderOf of
// the package logpipeline.
type Line struct {
	Text     string
	Position string
	Read     time.Time // what the wait for the next record is counted from
	Received time.Time // what the age of its alerts is counted from
	Sender   string
	Host     string
	Origin   event.Origin
	Trust    event.Trust
	From     inputstats.ID
}

// Group is the records of one event. Position is that of its first line, so it does not depend on how the event ended.
type Group struct {
	Position string        `json:"position"`
	Sender   string        `json:"sender,omitempty"`
	Host     string        `json:"host,omitempty"`
	Origin   event.Origin  `json:"origin"`
	Trust    event.Trust   `json:"trust"`
	From     inputstats.ID `json:"from"`
	Serial   uint64        `json:"serial"`
	Time     time.Time     `json:"time"`
	Read     time.Time     `json:"-"`
	Received time.Time     `json:"received"` // of its last line
	Texts    []string      `json:"texts"`
	Last     string        `json:"last"` // position of the last line
	Bytes    int           `json:"bytes"`
	Cut      int           `json:"cut,omitempty"` // records left out because there were too many
	Ended    bool          `json:"-"`             // its last record came: nothing is missing at its end

	call *Record // of its SYSCALL record, nil if that is missing or not looked for
}

// Records returns the records of g.
func (g *Group) Records() []Record {
	out := make([]Record, 0, len(g.Texts))
	for _, text := range g.Texts {
		if r, ok := Parse(text); ok {
			out = append(out, r)
		}
	}
	return out
}

// Joiner holds the unfinished events of one source, and the programs that finished ones started, the oldest first. The zero value holds none. One goroutine uses it; what
// Groups returned may be read while it is used further.
type Joiner struct {
	groups    []Group
	processes []Process
}

// NewJoiner returns a Joiner that goes on with groups. It does not change them.
func NewJoiner(groups []Group) *Joiner {
	return &Joiner{groups: slices.Clone(groups[max(0, len(groups)-maxGroups):])}
}

// Groups returns the unfinished events, the oldest first. They must not be changed.
func (j *Joiner) Groups() []Group { return slices.Clone(j.groups) }

// Call returns the SYSCALL record of the event that r of sender is of, nil if it has none yet.
func (j *Joiner) Call(r *Record, sender string) *Record {
	i := j.find(r, sender)
	if i < 0 {
		return nil
	}
	g := &j.groups[i]
	for k := 0; g.call == nil && k < len(g.Texts); k++ {
		if read, ok := Parse(g.Texts[k]); ok && read.Type == "SYSCALL" {
			g.call = &read
		}
	}
	return g.call
}

func (j *Joiner) find(r *Record, sender string) int {
	return slices.IndexFunc(j.groups, func(g Group) bool { return g.Serial == r.Serial && g.Sender == sender && g.Time.Equal(r.Time) })
}

// Add adds the record r of a line, and returns the events that are finished by it. A record that is an event of its own is none of them:
// there is nothing to join. A line that was added before is not added again.
func (j *Joiner) Add(r *Record, line Line) (done []Group) {
	if r.Serial == 0 || standsAlone(r.Type) {
		return nil
	}
	done = j.moveOn(r, line.Sender)
	i := j.find(r, line.Sender)
	ends := r.Type == "EOE" || r.Type == "PROCTITLE"
	if i < 0 {
		if ends {
			return done
		}
		j.groups = append(j.groups, Group{
			Position: line.Position, Sender: line.Sender, Host: line.Host, Origin: line.Origin, Trust: line.Trust, From: line.From, Serial: r.Serial, Time: r.Time,
		})
		i = len(j.groups) - 1
	}
	j.groups[i].add(line)
	if ends {
		j.groups[i].Ended = true
		done = append(done, j.take(i))
	}
	return append(done, j.evict()...)
}

// add adds a line. Memory that is shared with what Groups returned is not written to: that has fewer texts.
func (g *Group) add(line Line) {
	if g.Last == line.Position {
		return
	}
	g.Last, g.Read, g.Received = line.Position, line.Read, line.Received
	if len(g.Texts) >= maxRecords || g.Bytes+len(line.Text) > maxGroupBytes {
		g.Cut++
		return
	}
	g.Texts = append(g.Texts, line.Text)
	g.Bytes += len(line.Text)
}

// moveOn takes the events that the sender of r is done with.
func (j *Joiner) moveOn(r *Record, sender string) (done []Group) {
	return j.takeAll(func(g *Group) bool {
		return g.Sender == sender && (r.Serial > g.Serial && r.Serial-g.Serial > serialsApart || r.Time.Sub(g.Time) > maxApart)
	})
}

// Expire takes the events whose last line was read before t.
func (j *Joiner) Expire(t time.Time) (done []Group) {
	return j.takeAll(func(g *Group) bool { return g.Read.Before(t) })
}

// evict takes events until the others are within the bounds: the oldest one of the sender that holds the most, so that a sender that floods
// pushes out only its own.
func (j *Joiner) evict() (done []Group) {
	total := 0
	for i := range j.groups {
		total += j.groups[i].Bytes
	}
	for len(j.groups) > maxGroups || total > maxBytes {
		g := j.take(j.oldestOfLargest(len(j.groups) > maxGroups))
		total -= g.Bytes
		done = append(done, g)
	}
	return done
}

// oldestOfLargest returns the oldest event of the sender with the most events, or else the most bytes.
func (j *Joiner) oldestOfLargest(byCount bool) int {
	held := map[string]int{}
	for i := range j.groups {
		if byCount {
			held[j.groups[i].Sender]++
		} else {
			held[j.groups[i].Sender] += j.groups[i].Bytes
		}
	}
	largest := 0
	for i := range j.groups {
		if held[j.groups[i].Sender] > held[j.groups[largest].Sender] {
			largest = i
		}
	}
	return largest
}

func (j *Joiner) takeAll(of func(*Group) bool) (done []Group) {
	for i := 0; i < len(j.groups); {
		if of(&j.groups[i]) {
			done = append(done, j.take(i))
		} else {
			i++
		}
	}
	return done
}

func (j *Joiner) take(i int) Group {
	g := j.groups[i]
	j.groups = slices.Delete(j.groups, i, i+1)
	return g
}

// standsAlone reports whether records of this type are events of their own: those that programs wrote, and those of auditd itself.
func standsAlone(typeName string) bool { return !partTypes()[typeName] }
