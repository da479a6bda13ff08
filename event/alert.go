package event

import "time"

// Caps on what one alert may carry; Encode shortens to these.
const (
	MaxEvidence     = 20
	MaxEvidenceSize = 2 << 10 // bytes of one evidence line
	MaxFindings     = 50
	MaxMatched      = 50
)

// Alert is a rule match, immutable once published. The first alert of a (rule, entity)
// deduplication window has Count 1 and is published at once; if there were more matches
// when the window ends, one further alert with Update set, an id of its own and the same
// DedupKey carries the count.
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
	Count     int       `json:"count"`
	Update    bool      `json:"update,omitempty"`

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

	DedupKey   string       `json:"dedup_key"`
	Incomplete []Incomplete `json:"incomplete,omitempty"`
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

// Vulnerability is the advisory behind an SBOM alert.
type Vulnerability struct {
	ID       string   `json:"id"`
	Aliases  []string `json:"aliases,omitempty"`
	Severity Severity `json:"severity"`
	Summary  string   `json:"summary,omitempty"`
}

// Finding is one vulnerable component. PURL is a package URL; Fixed is empty
// while no fixed version is known.
type Finding struct {
	PURL     string `json:"purl"`
	Version  string `json:"version"`
	Fixed    string `json:"fixed,omitempty"`
	Location string `json:"location,omitempty"`
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

func (a *Alert) clamp() {
	a.Title = Shorten(a.Title, maxText)
	a.Description = Shorten(a.Description, maxText)
	a.User = Shorten(a.User, maxName)
	a.DedupKey = Shorten(a.DedupKey, maxText)
	a.Rule.Tags = first(a.Rule.Tags, maxTags)
	a.Findings = first(a.Findings, MaxFindings)
	a.Evidence = clampEach(first(a.Evidence, MaxEvidence), MaxEvidenceSize)
	a.Matched = clampMatched(first(a.Matched, MaxMatched))
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

func clampMatched(in []Matched) []Matched {
	out := make([]Matched, len(in))
	for i, m := range in {
		out[i] = Matched{Field: Shorten(m.Field, maxName), Value: Shorten(m.Value, maxText), Why: Shorten(m.Why, maxText)}
	}
	return out
}
