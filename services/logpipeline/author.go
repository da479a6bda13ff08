package logpipeline

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline/docker"
	"github.com/ironpost/ironpost/sigma"
)

// maxKey bounds a deduplication key in bytes; the rest of a longer one is hashed,
// so that two long names never share a key.
const maxKey = 256

// author writes alerts in the name of one machine.
type author struct {
	host    string
	machine string
}

// ofMatch is the alert of a rule that one event satisfies.
func (w author) ofMatch(in seen, m sigma.Match) *event.Alert {
	a := w.alert(in, &m.Rule.Meta, "")
	a.FirstSeen, a.LastSeen = in.began, in.time
	a.DedupKey = key(a.Rule.ID, entity(in))
	a.User = in.User
	a.Source, a.Target, a.Container = sourceOf(in), in.target, in.container
	a.Evidence, a.Incomplete = in.evidence, in.incomplete
	for _, got := range m.Matched {
		a.Matched = append(a.Matched, event.Matched{Field: got.Field, Value: got.Value, Why: got.Why})
	}
	return a
}

// ofCorrelation is the alert of a correlation that became true with in. It names
// the source, the target and the user only where they are what was grouped by: the
// other events of the group may be of somebody else.
func (w author) ofCorrelation(in seen, m sigma.CorrelationMatch) *event.Alert {
	a := w.alert(in, &m.Correlation.Meta, m.Key)
	a.FirstSeen, a.LastSeen = m.First, m.Last
	a.DedupKey = key(a.Rule.ID, "group:"+m.Key)
	groups := slices.Sorted(maps.Values(m.Group))
	if in.SourceIP.IsValid() && slices.Contains(groups, in.SourceIP.String()) {
		a.Source = &event.Endpoint{IP: in.SourceIP.String()}
	}
	if in.target != nil && slices.Contains(groups, in.target.IP) {
		a.Target = &event.Endpoint{IP: in.target.IP}
	}
	if in.User != "" && slices.Contains(groups, in.User) {
		a.User = in.User
	}
	if in.container != nil && (slices.Contains(groups, in.container.ID) || allOf(m, docker.Prefix(in.container.ID))) {
		a.Container = in.container
	}
	for _, s := range m.Samples {
		a.Evidence = append(a.Evidence, s.Text)
	}
	a.Matched = append(a.Matched, correlated(m)...)
	return a
}

// allOf tells whether every event that m counted has a position that begins with
// prefix. Of more events than samples nobody knows.
func allOf(m sigma.CorrelationMatch, prefix string) bool {
	return m.Count <= len(m.Samples) && !slices.ContainsFunc(m.Samples, func(s sigma.Sample) bool {
		return !strings.HasPrefix(s.Ref, prefix)
	})
}

// alert is what both kinds have in common.
func (w author) alert(in seen, m *sigma.Meta, group string) *event.Alert {
	id := w.id(in.position, m.Key(), group)
	severity := severityOf(m.Level)
	a := &event.Alert{
		ID: id, Schema: event.Schema, TraceID: cmp.Or(in.trace, traceOf(id)), Time: time.Now().UTC(), Count: 1,
		Module: Name, Host: w.host, Severity: severity,
		Rule:  event.Rule{ID: m.Key(), Title: m.Title, Level: severity, Tags: m.Tags},
		Title: cmp.Or(m.Title, m.Key()), Description: m.Description,
	}
	if in.Host != "" && in.Host != w.host {
		a.Matched = append(a.Matched, event.Matched{Field: "host", Value: in.Host, Why: "the host the line names"})
	}
	return a
}

// id follows from the machine, the line and the rule alone, so that a line read
// again gives the same id. Parts are hashed with their lengths.
func (w author) id(position, rule, group string) string {
	h := sha256.New()
	for _, part := range [...]string{w.machine, position, rule, group} {
		_ = binary.Write(h, binary.BigEndian, uint64(len(part))) // a hash takes everything
		h.Write([]byte(part))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// traceOf is a W3C trace id, 16 bytes in hex.
func traceOf(id string) string {
	sum := sha256.Sum256([]byte("trace " + id))
	return hex.EncodeToString(sum[:16])
}

// severityOf reads a level that loadRules has checked. A rule without one is of
// medium severity: it was worth writing.
func severityOf(level string) event.Severity {
	s, err := event.ParseSeverity(level)
	if err != nil {
		return event.Medium
	}
	return s
}

// entity is who an alert is about: what the source of the event says, else the
// source address, else the user, else the program; and in which container.
func entity(in seen) string {
	who := actor(in)
	if in.container != nil {
		return "container:" + in.container.ID + "," + who
	}
	return who
}

func actor(in seen) string {
	switch {
	case in.entity != "":
		return in.entity
	case in.SourceIP.IsValid():
		return "ip:" + in.SourceIP.String()
	case in.User != "":
		return "user:" + in.User
	}
	return "process:" + in.Host + "/" + in.Process
}

func key(rule, entity string) string {
	k := rule + "|" + entity
	if len(k) <= maxKey {
		return k
	}
	sum := sha256.Sum256([]byte(k))
	return rule[:min(len(rule), maxKey/2)] + "|sha256:" + hex.EncodeToString(sum[:])
}

func sourceOf(in seen) *event.Endpoint {
	if !in.SourceIP.IsValid() {
		return nil
	}
	return &event.Endpoint{IP: in.SourceIP.String(), Port: in.SourcePort}
}

// correlated says what was counted, and for whom.
func correlated(m sigma.CorrelationMatch) []event.Matched {
	out := []event.Matched{{Field: "count", Value: strconv.Itoa(m.Count), Why: because(m.Correlation)}}
	for _, name := range slices.Sorted(maps.Keys(m.Group)) {
		out = append(out, event.Matched{Field: name, Value: m.Group[name], Why: "grouped by"})
	}
	return out
}

func because(c *sigma.Correlation) string {
	words := []string{string(c.Type)}
	for _, b := range c.Condition {
		words = append(words, fmt.Sprintf("%s %v", b.Op, b.Value))
	}
	return strings.Join(append(words, "within", c.Timespan.String()), " ")
}
