package event

import (
	"cmp"
	"path"
	"time"
)

// Caps on what one alert may carry; Encode shortens to these.
const (
	MaxEvidence     = 20
	MaxEvidenceSize = 2 << 10 // bytes of one evidence line
	MaxFindings     = 50
	MaxMatched      = 50
	MaxMembers      = 50
	MaxMemberSize   = 64 // bytes
)

// Alert is a rule match, immutable once published. Matches with one DedupKey that go on are
// one series: its first alert, revision 0, is published at once and has Count 1; further
// ones with Update set have the count so far.
//
// Container and PID are set only if the source of the event proves them, as Docker does
// for a container's log and the kernel for a process; the text of a line proves neither. PID is
// the host's process id.
type Alert struct {
	ID      string    `json:"id"`
	Schema  int       `json:"schema"`
	TraceID string    `json:"trace_id"`
	Time    time.Time `json:"time"`

	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`
	// Received is when the event was received: read as it was appended, or stamped by the journal, Docker or the syslog
	// receiver. The text of a line decides FirstSeen and LastSeen, but Received only if the line was there before anybody read it. Zero in
	// records of earlier versions.
	Received time.Time `json:"received,omitzero"`
	Count    int       `json:"count"`
	Update   bool      `json:"update,omitempty"`

	Module   string   `json:"module"`
	Host     string   `json:"host"`
	Rule     Rule     `json:"rule"`
	Severity Severity `json:"severity"`

	Title       string `json:"title"`
	Description string `json:"description,omitempty"`

	Source        *Endpoint      `json:"source,omitempty"`
	Target        *Endpoint      `json:"target,omitempty"`
	Container     *Container     `json:"container,omitempty"`
	PID           int            `json:"pid,omitempty"`
	User          string         `json:"user,omitempty"`
	Vulnerability *Vulnerability `json:"vulnerability,omitempty"`
	Findings      []Finding      `json:"findings,omitempty"`
	Evidence      []string       `json:"evidence,omitempty"`
	Matched       []Matched      `json:"matched,omitempty"`

	// Series is the id of revision 0 of an attack that goes on, which later revisions update: each has an id of its own, Update set,
	// and the counts so far. State is Open in revision 0, then Ongoing, and Over in the last. Escalated is set in a revision that was
	// made because of a match with stronger trust, higher severity or a further source of evidence: from then on the series shows that match.
	Series    string `json:"series,omitempty"`
	Revision  int    `json:"revision,omitempty"`
	State     string `json:"state,omitempty"`
	Escalated bool   `json:"escalated,omitempty"`
	// Peak is the most packets per second, of matches that are no packets the most of them in a second. Totals are the counts of the
	// detection since it began, Ports some of the target's ports, Members users, addresses and paths that varied, such as user:root.
	Peak    uint64            `json:"peak,omitempty"`
	Totals  map[string]uint64 `json:"totals,omitempty"`
	Ports   []uint16          `json:"ports,omitempty"`
	Members []string          `json:"members,omitempty"`

	// Origin says where the event came from, and Trust how far that is proven. Of a correlation, Origin is that of the
	// last event and Trust the strongest whose events satisfy it by themselves. LogHost is the host that the line names; Host stays that of the module.
	Origin  *Origin `json:"origin,omitempty"`
	Trust   Trust   `json:"trust,omitempty"`
	LogHost string  `json:"log_host,omitempty"`
	// Service is the service that a line is about, as its text says: the service or category of Sigma's logsource, such as
	// sshd or webserver.
	Service string `json:"service,omitempty"`
	// Request is the request that a line of a web server is about; nil of others, and of correlations.
	Request *Request `json:"request,omitempty"`

	DedupKey   string       `json:"dedup_key"`
	Incomplete []Incomplete `json:"incomplete,omitempty"`
}

// ReceivedAt returns when the event was received: what a line says of its time neither hides it nor makes it new. If nobody received
// it, or in a record of an earlier version, that is LastSeen.
func (a *Alert) ReceivedAt() time.Time {
	if a.Received.IsZero() {
		return a.LastSeen
	}
	return a.Received
}

// The values of Alert.State.
const (
	Open    = "open"
	Ongoing = "ongoing"
	Over    = "over"
)

// Request is a request to a web server and how it was answered, as the server's line says.
type Request struct {
	Method string `json:"method,omitempty"`
	Path   string `json:"path,omitempty"` // as it was asked for, without the query
	Status int    `json:"status,omitempty"`
}

// Succeeded reports whether the server did not answer with an error.
func (r *Request) Succeeded() bool {
	const firstError = 400
	return r.Status < firstError
}

// Directory returns the folder of the path, "/" of one in the root.
func (r *Request) Directory() string { return path.Dir(r.Path) }

func (r *Request) clamp() {
	if r != nil {
		r.Method, r.Path = Shorten(r.Method, maxName), Shorten(r.Path, maxText)
	}
}

// Rule names the rule behind an alert. Tags are Sigma tags, such as
// "attack.t1110".
type Rule struct {
	ID    string   `json:"id"`
	Title string   `json:"title"`
	Level Severity `json:"level"`
	Tags  []string `json:"tags,omitempty"`
}

// Endpoint is one side of a conversation. IP is textual (netip form); Port is 0
// where unknown.
type Endpoint struct {
	IP   string `json:"ip"`
	Port uint16 `json:"port,omitempty"`
}

// Container names a container as its runtime does.
type Container struct {
	ID    string `json:"id"`
	Name  string `json:"name,omitempty"`
	Image string `json:"image,omitempty"`
}

// Vulnerability is the vulnerability that an alert of the SBOM scanner is about: all advisories that are aliases of
// each other.
type Vulnerability struct {
	ID       string   `json:"id"` // the CVE if there is one
	Aliases  []string `json:"aliases,omitempty"`
	Severity Severity `json:"severity"`
	// SeverityUnknown is set if no advisory states a severity: Severity is then what the scanner's configuration says.
	SeverityUnknown bool    `json:"severity_unknown,omitempty"`
	Score           float64 `json:"score,omitempty"`  // CVSS base score
	Vector          string  `json:"vector,omitempty"` // CVSS vector of the score
	KEV             bool    `json:"kev,omitempty"`    // known to be exploited (CISA KEV)
	EPSS            float64 `json:"epss,omitempty"`   // probability of exploitation in 30 days (FIRST EPSS)
	Fixed           string  `json:"fixed,omitempty"`  // nearest version without it
	Summary         string  `json:"summary,omitempty"`
}

// Finding is one vulnerability of one component. PURL is a package URL; Fixed is empty
// while no fixed version is known.
type Finding struct {
	PURL     string `json:"purl"`
	Version  string `json:"version"`
	Fixed    string `json:"fixed,omitempty"`
	Location string `json:"location,omitempty"` // file that names the component, relative to what was scanned

	ID              string   `json:"id,omitempty"`      // of the vulnerability, as Vulnerability.ID
	Aliases         []string `json:"aliases,omitempty"` // at most 4
	Severity        Severity `json:"severity"`
	SeverityUnknown bool     `json:"severity_unknown,omitempty"`
	Score           float64  `json:"score,omitempty"`
	KEV             bool     `json:"kev,omitempty"`
	Reopened        bool     `json:"reopened,omitempty"` // it was fixed before
}

// Matched is one reason why a rule matched: the field, its value in the event, and the
// condition as the rule states it.
type Matched struct {
	Field string `json:"field"`
	Value string `json:"value"`
	Why   string `json:"why"`
}

// Incomplete counts records that were lost before they reached the rule: the evidence
// may have gaps.
type Incomplete struct {
	Counter string `json:"counter"`
	Amount  uint64 `json:"amount"`
}

// SeriesID is the id of the series that a is part of: its own if it is part of no other, as of a module that makes none.
func (a *Alert) SeriesID() string { return cmp.Or(a.Series, a.ID) }

// SeriesKey tells the series of a from those of other modules and hosts: any of them may use the id of another's. It is not to be shown.
func (a *Alert) SeriesKey() string { return a.Module + "|" + a.Host + "|" + a.SeriesID() }

// Meta implements Record.
func (a *Alert) Meta() Meta {
	return Meta{ID: a.ID, Schema: a.Schema, TraceID: a.TraceID, Severity: a.Severity.String(), Rule: a.Rule.ID}
}

// Validate returns the first reason why a is not a valid alert.
func (a *Alert) Validate() error {
	return firstError(
		validMeta(a.Meta(), a.Time),
		required("module", a.Module),
		required("host", a.Host),
		required("rule.id", a.Rule.ID),
		required("title", a.Title),
		required("dedup_key", a.DedupKey),
		positive("count", a.Count),
	)
}

// Clamp shortens the parts of a to what Encode lets through, also what its pointers lead to.
func (a *Alert) Clamp() { a.clamp() }

func (a *Alert) clamp() {
	a.Title = Shorten(a.Title, maxText)
	a.Description = Shorten(a.Description, maxText)
	a.User = Shorten(a.User, maxName)
	a.DedupKey = Shorten(a.DedupKey, maxText)
	a.Origin.clamp()
	a.LogHost, a.Service = Shorten(a.LogHost, maxName), Shorten(a.Service, maxName)
	a.Request.clamp()
	a.Rule.Tags = first(a.Rule.Tags, maxTags)
	a.Findings = clampFindings(first(a.Findings, MaxFindings))
	a.Vulnerability.clamp()
	a.Evidence = clampEach(first(a.Evidence, MaxEvidence), MaxEvidenceSize)
	a.Matched = clampMatched(first(a.Matched, MaxMatched))
	a.Members = clampEach(first(a.Members, MaxMembers), MaxMemberSize)
	a.Incomplete = first(a.Incomplete, maxTags)
}

func (a *Alert) dropDetail() bool {
	switch {
	case len(a.Matched) > 0:
		a.Matched = a.Matched[:len(a.Matched)/2]
	case len(a.Evidence) > 1:
		a.Evidence = a.Evidence[:len(a.Evidence)/2]
	case len(a.Findings) > 0:
		a.Findings = a.Findings[:len(a.Findings)/2]
	default:
		return false
	}
	return true
}

// clamp shortens v, which may be nil.
func (v *Vulnerability) clamp() {
	if v == nil {
		return
	}
	v.ID, v.Vector, v.Fixed = Shorten(v.ID, maxName), Shorten(v.Vector, maxName), Shorten(v.Fixed, maxVersion)
	v.Aliases = clampEach(first(v.Aliases, maxTags), maxName)
	v.Summary = Shorten(v.Summary, maxText)
}

// clampFindings keeps 50 findings of ordinary length far below MaxSize.
func clampFindings(in []Finding) []Finding {
	out := make([]Finding, len(in))
	for i, f := range in {
		f.PURL, f.Location = Shorten(f.PURL, maxPURL), Shorten(f.Location, maxName)
		f.ID, f.Version, f.Fixed = Shorten(f.ID, maxVersion), Shorten(f.Version, maxVersion), Shorten(f.Fixed, maxVersion)
		f.Aliases = clampEach(first(f.Aliases, maxAliases), maxVersion)
		out[i] = f
	}
	return out
}

func clampMatched(in []Matched) []Matched {
	out := make([]Matched, len(in))
	for i, m := range in {
		out[i] = Matched{Field: Shorten(m.Field, maxName), Value: Shorten(m.Value, maxText), Why: Shorten(m.Why, maxText)}
	}
	return out
}
