package logpipeline

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline/inputstats"
	"github.com/ironpost/ironpost/services/logpipeline/journal"
	"github.com/ironpost/ironpost/services/logpipeline/kmsg"
	"github.com/ironpost/ironpost/services/logpipeline/parse"
	"github.com/ironpost/ironpost/sigma"
)

// keptFields are the fields of an entry that rules see besides those that journald adds, whose names begin with an underscore.
var keptFields = []string{"MESSAGE_ID", "UNIT", "USER_UNIT", "CONTAINER_NAME", "IMAGE_NAME"}

// maxKept bounds the fields of an entry that rules see, and maxKeptField the text of one in bytes.
const (
	maxKept      = 128
	maxKeptField = 4 << 10
)

// decodeEntry decodes an entry of the journal.
func (d *decoder) decodeEntry(c *chunk, e journal.Entry, out *decoded) {
	from := inputstats.ID{Kind: inputstats.Journal}
	text := []byte(e.Get("MESSAGE"))
	if out.dead {
		c.unreadable(from, text, out)
		return
	}
	if reason := d.leavesOut(c, e); reason != "" {
		d.s.journalLeftOut.Add(1)
		c.batch(from).LeaveOut(reason)
		return
	}
	of := c.inputs.ofUnit(cmp.Or(e.Get("_SYSTEMD_UNIT"), e.Get("_SYSTEMD_USER_UNIT")))
	in := entryInput(d.parser, e, of)
	in.from, in.truncated = from, e.Cut
	d.matchLine(c, in, text, SourceJournald, in.received, out)
}

// entryInput parses the message of an entry. When journald received it, it was written.
func entryInput(parser *parse.Parser, e journal.Entry, of *inputSettings) *input {
	at := time.UnixMicro(int64(min(e.Realtime, 1<<62)))
	received := at
	if now := time.Now(); at.After(now) || !e.Local && !e.Backlog { // another machine may say anything
		received = now
	}
	pid, _ := strconv.ParseInt(cmp.Or(e.Get("_PID"), e.Get("SYSLOG_PID")), 10, 64)
	header := parse.Header{
		Time: at, Host: e.Get("_HOSTNAME"), Process: cmp.Or(e.Get("SYSLOG_IDENTIFIER"), e.Get("_COMM")), PID: pid,
		Facility: parse.Facility(e.Get("SYSLOG_FACILITY")), Severity: parse.Severity(e.Get("PRIORITY")),
	}
	if at, err := strconv.ParseUint(e.Get("_SOURCE_REALTIME_TIMESTAMP"), 10, 62); err == nil && e.Get("_TRANSPORT") == "audit" {
		header.Audit = fmt.Sprintf("%d.%03d:%s", at/1e6, at/1e3%1e3, e.Get("_AUDIT_ID"))
	}
	in := messageInput(parser, e.Position, header, e.Get("MESSAGE"), received, of.parse)
	origin, trust := journalOrigin(e, in.Process)
	in.setOrigin(origin, of.trustOf(auditTrust(in.Audit, trust)))
	in.keepFields(e.Record)
	if origin.Container != "" {
		in.container = &event.Container{ID: origin.Container, Name: e.Get("CONTAINER_NAME"), Image: e.Get("IMAGE_NAME")}
		in.Fields.Set("container.id", sigma.Text(in.container.ID))
		in.Fields.Set("container.name", sigma.Text(in.container.Name))
		in.Fields.Set("container.image", sigma.Text(in.container.Image))
	}
	return in
}

// messageInput parses a message whose header came apart from it.
func messageInput(parser *parse.Parser, position string, h parse.Header, text string, received time.Time, of parse.Input) *input {
	in := &input{Event: parser.ParseMessage(h, text, received, of), position: position, received: received}
	in.setTime()
	return in
}

// keepFields adds fields of an entry. What the text of the message gave the name of a field that journald adds is removed first.
func (in *input) keepFields(r journal.Record) {
	in.Fields.Delete(func(name string) bool { return strings.HasPrefix(name, "_") })
	kept := 0
	for _, f := range r.Fields {
		if kept == maxKept {
			break
		}
		if !strings.HasPrefix(f.Name, "_") && !slices.Contains(keptFields, f.Name) {
			continue
		}
		if _, exists := in.Fields.Get(f.Name); exists {
			continue
		}
		in.Fields.Set(f.Name, sigma.Text(event.Shorten(strings.ToValidUTF8(f.Value, "\uFFFD"), maxKeptField)))
		kept++
	}
}

// decodeKernel decodes a record of the kernel's log.
func (d *decoder) decodeKernel(c *chunk, r kmsg.Record, out *decoded) {
	from := inputstats.ID{Kind: inputstats.Kernel}
	if out.dead {
		c.unreadable(from, []byte(r.Text), out)
		return
	}
	in := kernelInput(d.parser, r, c.inputs.other.parse)
	in.from = from
	d.matchLine(c, in, []byte(r.Text), SourceKernel, r.Time, out)
}

// kernelInput parses a record of the kernel's log. What a program wrote there proves nothing.
func kernelInput(parser *parse.Parser, r kmsg.Record, of parse.Input) *input {
	origin := event.Origin{Transport: event.TransportKernel}
	if !r.IsKernel() {
		in := lineInput(parser, nil, r.Position, []byte("<"+strconv.Itoa(min(r.Priority, 191))+">"+r.Text), r.Time, of)
		in.setOrigin(origin, event.TrustUnproven)
		return in
	}
	h := parse.Header{Time: r.Time, Process: "kernel", Facility: "kern", Severity: parse.Severity(strconv.Itoa(r.Priority & 7))}
	in := messageInput(parser, r.Position, h, r.Text, r.Time, of)
	in.setOrigin(origin, auditTrust(in.Audit, event.TrustHost))
	return in
}
