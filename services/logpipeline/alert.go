package logpipeline

import (
	"cmp"
	"crypto/sha256"
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

// maxKey bounds a deduplication key in bytes. A longer one is hashed, so that two long names never share a
// key.
const maxKey = 256

// alertBuilder makes the alerts of one machine.
type alertBuilder struct {
	host    string
	machine string // part of every alert id
}

// fromMatch returns the alert of a rule that in satisfies.
func (b alertBuilder) fromMatch(in *input, m sigma.Match) *event.Alert {
	a := b.alert(in, &m.Rule.Meta, "")
	a.FirstSeen, a.LastSeen = in.began, in.time
	a.DedupKey = dedupKey(a.Rule.ID, entityOf(in), cmp.Or(in.Host, b.host))
	a.User = in.User
	if in.SourceIP.IsValid() {
		a.Source = &event.Endpoint{IP: in.SourceIP.String(), Port: in.SourcePort}
	}
	a.Target, a.Container = in.target, in.container
	a.Evidence, a.Incomplete = in.lines(), in.incomplete
	fixed := in.User // the entity
	if in.SourceIP.IsValid() {
		fixed = in.SourceIP.String()
	}
	a.Members = membersOf(in, []string{fixed})
	b.addDetection(a, in)
	a.Request = requestOf(in)
	for _, got := range m.Matched {
		a.Matched = append(a.Matched, event.Matched{Field: got.Field, Value: got.Value, Why: got.Why})
	}
	return a
}

// requestOf returns the request that a web server's line is about, nil of another line.
func requestOf(in *input) *event.Request {
	if in.Logsource.Category != "webserver" {
		return nil
	}
	status, _ := in.Fields.Get("sc-status")
	code, _ := status.Int64()
	return &event.Request{Method: in.Fields.Text("cs-method"), Path: in.Fields.Text("cs-uri-stem"), Status: int(code)}
}

// addDetection adds the counts of a detection.
func (b alertBuilder) addDetection(a *event.Alert, in *input) {
	d := in.detection
	if d == nil {
		return
	}
	a.Peak, a.Totals, a.Ports = d.Counts["peak_per_second"], d.Counts, d.Ports
}

// endOf returns an alert with the counts of a detection that is over. It is not published: it ends series.
func (b alertBuilder) endOf(in *input) *event.Alert {
	a := &event.Alert{TraceID: in.trace, LastSeen: in.time, Evidence: in.lines()}
	b.addDetection(a, in)
	return a
}

// fromCorrelation returns the alert of a correlation that became true with in. It names the source, the
// target and the user only if the correlation groups by them: otherwise the other events of the group may
// have different ones. Where it groups by the network of the source, the source is the address of the last event. It names the container if all events are of that container. Its trust is the
// strongest whose events satisfy the correlation by themselves.
func (b alertBuilder) fromCorrelation(in *input, m sigma.CorrelationMatch) *event.Alert {
	a := b.alert(in, &m.Correlation.Meta, m.Key)
	a.FirstSeen, a.LastSeen = m.First, m.Last
	a.DedupKey = dedupKey(a.Rule.ID, "group:"+m.Key, b.host) // its events may be of several
	groups := slices.Sorted(maps.Values(m.Group))
	network, isNetwork := networkOf(in.SourceIP)
	if in.SourceIP.IsValid() && groupedBy(m, in.SourceIP.String()) || isNetwork && groupedBy(m, network) {
		a.Source = &event.Endpoint{IP: in.SourceIP.String()}
	}
	if in.target != nil && slices.Contains(groups, in.target.IP) {
		a.Target = &event.Endpoint{IP: in.target.IP}
	}
	if in.User != "" && slices.Contains(groups, in.User) {
		a.User = in.User
	}
	if in.container != nil && (slices.Contains(groups, in.container.ID) || allSamplesHave(m, docker.PositionPrefix(in.container.ID))) {
		a.Container = in.container
	}
	a.Members = membersOf(in, groups)
	a.Trust = event.TrustOfRank(int(m.Rank))
	if a.Container == nil {
		a.Origin.Container = "" // the lines are of several
	}
	for _, s := range m.Samples {
		a.Evidence = append(a.Evidence, s.Text)
	}
	condition := []string{string(m.Correlation.Type)}
	for _, c := range m.Correlation.Condition {
		condition = append(condition, fmt.Sprintf("%s %v", c.Op, c.Value))
	}
	why := strings.Join(append(condition, "within", m.Correlation.Timespan.String()), " ")
	a.Matched = append(a.Matched, event.Matched{Field: "count", Value: strconv.Itoa(m.Count), Why: why})
	for _, name := range slices.Sorted(maps.Keys(m.Group)) {
		a.Matched = append(a.Matched, event.Matched{Field: name, Value: m.Group[name], Why: "grouped by"})
	}
	return a
}

// allSamplesHave reports whether the positions of all events that m counted begin with prefix. It is false
// if m counted more events than it has samples of.
func allSamplesHave(m sigma.CorrelationMatch, prefix string) bool {
	return m.Count <= len(m.Samples) && !slices.ContainsFunc(m.Samples, func(s sigma.Sample) bool {
		return !strings.HasPrefix(s.Ref, prefix)
	})
}

// alert returns an alert with the fields that matches and correlations have in common. Its id follows from
// the machine, the line, the rule and the group alone, so that a line read again gives the same id.
func (b alertBuilder) alert(in *input, m *sigma.Meta, group string) *event.Alert {
	id := event.ID(b.machine, in.position, m.Key(), group)
	rule := ruleOf(m)
	a := &event.Alert{
		ID: id, Schema: event.Schema, TraceID: cmp.Or(in.trace, event.ID("trace", id)), Time: time.Now().UTC(), Count: 1,
		Module: Name, Host: b.host, Severity: rule.Level, Rule: rule,
		Title: cmp.Or(m.Title, m.Key()), Description: m.Description,
	}
	a.Received = in.received.UTC()
	origin := in.origin
	a.Origin, a.Trust, a.LogHost = &origin, in.trust, in.Host
	if in.trust != event.TrustKernel {
		a.Service = cmp.Or(in.Logsource.Service, in.Logsource.Category)
	}
	return a
}

// membersOf returns what may differ between the matches of a series: the user, the source address and the path of a request, and the
// hosts of a scan. What is in fixed is the same in all of them.
func membersOf(in *input, fixed []string) (members []string) {
	add := func(kind, value string) {
		if value != "" && !slices.Contains(fixed, value) {
			members = append(members, event.Shorten(kind+value, event.MaxMemberSize))
		}
	}
	add("user:", in.User)
	if in.detection != nil {
		for _, host := range in.detection.Hosts {
			add("ip:", host)
		}
		return members
	}
	if in.SourceIP.IsValid() {
		add("ip:", in.SourceIP.String())
	}
	add("path:", in.Fields.Text("cs-uri-stem"))
	return members
}

// entityOf returns what an alert is deduplicated by: the entity that the source of the event names, else the
// source address, else the user, else the program; within the container if there is one.
func entityOf(in *input) string {
	entity := "process:" + in.Host + "/" + in.Process
	switch {
	case in.entity != "":
		entity = in.entity
	case in.SourceIP.IsValid():
		entity = "ip:" + in.SourceIP.String()
	case in.User != "":
		entity = "user:" + in.User
	}
	if in.container != nil {
		return "container:" + in.container.ID + "," + entity
	}
	return entity
}

// dedupKey is the key of the matches of rule about entity in the logs of host: they are one series.
func dedupKey(rule, entity, host string) string {
	k := rule + "|" + entity + "|" + host
	if len(k) <= maxKey {
		return k
	}
	sum := sha256.Sum256([]byte(k))
	return rule[:min(len(rule), maxKey/2)] + "|sha256:" + hex.EncodeToString(sum[:])
}
