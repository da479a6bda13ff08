package sigma

import "time"

// Logsource is the kind of log that events come from. An empty attribute is not
// set. Values are lower case.
type Logsource struct {
	Category string `json:"category,omitempty"`
	Product  string `json:"product,omitempty"`
	Service  string `json:"service,omitempty"`
}

// Conflicts reports whether l and other set an attribute to different values. A
// rule is skipped only for events whose logsource conflicts with its own:
// requiring equality would miss events whose logsource is less specific.
func (l Logsource) Conflicts(other Logsource) bool {
	return differ(l.Category, other.Category) ||
		differ(l.Product, other.Product) ||
		differ(l.Service, other.Service)
}

func differ(a, b string) bool {
	return a != "" && b != "" && a != b
}

// MaxTimes bounds Event.Times: one line can say any number.
const MaxTimes = 1000

// Event is what rules are matched against. Match and Observe do not change it.
type Event struct {
	// Logsource selects the rules; if it is empty, all rules are evaluated.
	Logsource Logsource
	// Time is the time of the event, in which correlations count. A caller whose
	// sources may forge times should bound it first.
	Time time.Time
	// Ref identifies the event for the caller, for example by its position in
	// a file. Correlations keep it in their samples.
	Ref string
	// Rank orders events for the caller, such as by how far their source is
	// trusted; see CorrelationMatch.Rank. It is 0 to 255.
	Rank uint8
	// Times is how many equal events this one stands for, as in "message repeated 5 times"; 0 is 1. Correlations that count
	// events count at most MaxTimes of them.
	Times  int
	Fields Fields
}
