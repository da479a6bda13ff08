package logpipeline

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/logpipeline/audit"
	"github.com/ironpost/ironpost/services/logpipeline/docker"
	"github.com/ironpost/ironpost/services/logpipeline/inputstats"
	"github.com/ironpost/ironpost/services/logpipeline/journal"
	"github.com/ironpost/ironpost/services/logpipeline/kmsg"
	"github.com/ironpost/ironpost/services/logpipeline/packet"
	"github.com/ironpost/ironpost/services/logpipeline/parse"
	"github.com/ironpost/ironpost/services/logpipeline/syslog"
	"github.com/ironpost/ironpost/services/logpipeline/tail"
	"github.com/ironpost/ironpost/sigma"
)

// chunk is input of one source that is processed together: lines of one file or syslog sender, lines of one container, entries of one
// stream of the journal, records of the kernel's log, or packet records. The others are nil.
type chunk struct {
	lines   []tail.Line
	logs    []docker.Line
	entries []journal.Entry
	records []kmsg.Record // of the kernel's log
	packets []*delivery
	read    time.Time // when it was taken from its source
	rules   *ruleSet  // to match them by
	inputs  *inputs   // the settings of their sources

	source string        // whose audit events are joined, "" for none; the same in each of its chunks
	joiner *audit.Joiner // of the source, nil to leave records apart
	expire time.Time     // not zero: the chunk has no input, and ends the audit events that were read before it

	decoded int                // how many are decoded
	unused  *input             // the last line, if no rule matched it: memory for the next one
	spooled bool               // the lines are of a spool file
	spool   syslog.Decoder     // of them
	zone    sourceZone         // of the line before
	from    inputstats.ID      // of lines
	of      *inputSettings     // of lines of a file that is watched
	results []decoded          // of those that leave anything to do, in order
	brought []inputstats.Batch // by the inputs of the lines, mostly one
	counted lineCounts
}

func (c *chunk) size() int {
	return len(c.lines) + len(c.logs) + len(c.entries) + len(c.records) + len(c.packets)
}

// decoded is what is left to do about one line or packet record.
type decoded struct {
	position string
	dead     bool      // it must not be processed: it made the pipeline panic repeatedly
	text     []byte    // of a dead line
	delivery *delivery // nil for a line
	events   []matched // those that rules matched
	row      []byte    // to store, nil if it is not stored
}

// decoder parses and matches chunks. Several workers run it at once, each chunk in one of them, so that the input of one source stays
// in order and a slow line delays only its source.
type decoder struct {
	s       *Service
	syslog  *syslog.Server
	docker  *docker.Source
	tailer  *tail.Tailer
	kernel  *kmsg.Source
	self    process
	host    string // of this machine
	parser  *parse.Parser
	alerts  alertBuilder
	crashes *crashRecord
	rows    *rows       // nil: lines are not stored
	work    chan *chunk // to decode; closed at the end
	done    chan *chunk // decoded; it holds all that are in flight
	wake    func()      // called when there is something in done
}

// run decodes chunks until work is closed, also when the context has ended. A panic is recorded, and the input that caused it tried again.
func (d *decoder) run(ctx context.Context) error {
	for c := range d.work {
		c.spooled = c.lines != nil && d.syslog.IsSpoolFile(c.lines[0].Path)
		if c.lines != nil {
			c.from, c.of = d.s.fileInput(c.lines[0].Path, c.spooled), c.inputs.ofFile(c.lines[0].Path)
		}
		for c.decoded < c.size() {
			err := task.Call(ctx, "decode", func(context.Context) error { d.decode(c); return nil })
			if panicked, ok := errors.AsType[*task.PanicError](err); ok {
				d.s.recordCrash(d.crashes, c.position(c.decoded), panicked)
			}
		}
		if !c.expire.IsZero() {
			if err := task.Call(ctx, "decode", func(context.Context) error { d.expire(c); return nil }); err != nil {
				d.s.recordCrash(d.crashes, c.source, err)
			}
		}
		d.s.countLines(c.counted)
		d.done <- c
		d.wake()
	}
	return nil
}

// position identifies line or record i.
func (c *chunk) position(i int) string {
	switch {
	case c.lines != nil:
		return c.lines[i].Position
	case c.logs != nil:
		return c.logs[i].Position
	case c.entries != nil:
		return c.entries[i].Position
	case c.records != nil:
		return c.records[i].Position
	}
	return "packet." + c.packets[i].record.ID
}

// decode decodes what is not decoded yet.
func (d *decoder) decode(c *chunk) {
	dead := d.crashes.dead()
	for ; c.decoded < c.size(); c.decoded++ {
		i := c.decoded
		out := decoded{position: c.position(i)}
		out.dead = slices.Contains(dead, out.position)
		switch {
		case c.lines != nil:
			d.decodeLine(c, c.lines[i], &out)
		case c.logs != nil:
			d.decodeLog(c, c.logs[i], &out)
		case c.entries != nil:
			d.decodeEntry(c, c.entries[i], &out)
		case c.records != nil:
			d.decodeKernel(c, c.records[i], &out)
		default:
			d.decodePacket(c.rules, c.packets[i], &out)
		}
		if out.dead || out.delivery != nil || out.events != nil || out.row != nil {
			c.results = append(c.results, out)
		}
	}
}

// decodeLine decodes a line of a file, which may be a spool file.
func (d *decoder) decodeLine(c *chunk, line tail.Line, out *decoded) {
	if c.spooled {
		d.decodeSpooled(c, line, out)
		return
	}
	if out.dead {
		c.unreadable(c.from, line.Text, out)
		return
	}
	zone := c.zoneOf(&d.s.zones.here, c.of, "file:"+line.Path)
	in := lineInput(d.parser, c.unused, line.Position, line.Text, c.read, zone.of)
	in.backlog = line.Backlog
	d.s.date(in, zone, !line.Backlog)
	in.from, in.truncated = c.from, line.Truncated
	origin, trust := fileOrigin(line)
	in.setOrigin(origin, c.of.trustOf(auditTrust(in.Audit, trust)))
	if d.isKernelLine(in, line) {
		c.unused = in
		c.batch(in.from).LeaveOut(inKernelLog)
		return
	}
	d.matchLine(c, in, line.Text, line.Source, c.read, out)
}

// decodeSpooled decodes a line of a spool file: a received message.
func (d *decoder) decodeSpooled(c *chunk, line tail.Line, out *decoded) {
	rec, err := c.spool.Decode(line.Text)
	if err != nil && !out.dead {
		d.s.spoolErrors.Add(1)
		d.s.log.WithError(err).WithField("position", line.Position).Warn("spool record unreadable")
	}
	if err != nil || out.dead {
		c.unreadable(c.from, line.Text, out)
		return
	}
	of := c.inputs.ofPeer(originTransport(rec.Transport), rec.Peer)
	zone := c.zoneOf(&d.s.zones.peers, of, peerOf(rec))
	in := lineInput(d.parser, c.unused, line.Position, rec.Message, rec.Time, zone.of)
	d.s.date(in, zone, rec.Transport != syslog.Operator)
	in.from, in.truncated = c.from, rec.Truncated
	origin, trust := syslogOrigin(rec, in.Process)
	in.setOrigin(origin, of.trustOf(trust))
	d.matchLine(c, in, rec.Message, SourceSyslog, rec.Time, out)
}

// expire ends the audit events that waited too long for another record.
func (d *decoder) expire(c *chunk) {
	for _, in := range d.s.joined(c.joiner, c.joiner.Expire(c.expire)) {
		if got := match(c.rules, d.alerts, in); len(got.matches) > 0 {
			c.results = append(c.results, decoded{position: in.position, events: []matched{got}})
		}
	}
}

// decodeLog decodes a line of a container's log.
func (d *decoder) decodeLog(c *chunk, line docker.Line, out *decoded) {
	from := inputstats.ID{Kind: inputstats.Container, Name: line.Container.Name}
	if out.dead {
		c.unreadable(from, line.Text, out)
		return
	}
	of := c.inputs.ofContainer(line.Container.Name)
	zone := c.zoneOf(&d.s.zones.here, of, "container:"+line.Container.ID)
	in := containerInput(d.parser, c.unused, line, of, zone.of)
	d.s.date(in, zone, true)
	in.from, in.truncated = from, line.Truncated
	d.matchLine(c, in, line.Text, "container:"+line.Container.Name, c.read, out)
}

// matchLine matches and counts a line.
func (d *decoder) matchLine(c *chunk, in *input, text []byte, source string, received time.Time, out *decoded) {
	if in.truncated {
		in.Fields.Set("truncated", sigma.Bool(true))
		in.dropCutSource(text)
	}
	addContext(c.joiner, in)
	c.unused = in
	if got := match(c.rules, d.alerts, in); len(got.matches) > 0 {
		out.events, c.unused = append(out.events, got), nil
	}
	for _, more := range d.s.furtherEvents(c.joiner, in) {
		if got := match(c.rules, d.alerts, more); len(got.matches) > 0 {
			out.events = append(out.events, got)
		}
	}
	out.row = d.rows.encode(in, source, received)
	c.count(in, text, received)
	d.s.taps.offer(in, received)
}

// dropCutSource removes the source of a line that was cut inside of its address or right behind it: 192.0.2.10 may have become 192.0.2.1.
func (in *input) dropCutSource(text []byte) {
	last := text[bytes.LastIndexFunc(text, func(r rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF.:", r) })+1:]
	if ip, err := netip.ParseAddr(string(last)); err == nil && ip.Unmap() == in.SourceIP {
		in.SourceIP, in.SourcePort = netip.Addr{}, 0
		in.Fields.Delete(func(name string) bool { return name == "src_ip" || name == "src_port" })
	}
}

// decodePacket decodes a packet record.
func (d *decoder) decodePacket(rules *ruleSet, record *delivery, out *decoded) {
	out.delivery = record
	if out.dead {
		return
	}
	for _, e := range packet.Events(record.record, rules.wants) {
		got := match(rules, d.alerts, packetInput(record.record, e))
		if len(got.matches) > 0 || got.endsDetection() {
			out.events = append(out.events, got)
		}
	}
}
