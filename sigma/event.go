package sigma

import "time"

// Logsource names where events come from, in three dimensions. An empty
// dimension is not set. Values are lower case.
type Logsource struct {
	Category string `json:"category,omitempty"`
	Product  string `json:"product,omitempty"`
	Service  string `json:"service,omitempty"`
}

// Conflicts reports whether l and other cannot be the same source: both set a
// dimension, and differ in it. A rule is skipped only for events whose source
// conflicts with its own, because requiring equality would lose detections on
// events that know less about themselves than the rule does.
func (l Logsource) Conflicts(other Logsource) bool {
	return differ(l.Category, other.Category) ||
		differ(l.Product, other.Product) ||
		differ(l.Service, other.Service)
}

func differ(a, b string) bool {
	return a != "" && b != "" && a != b
}

// Event is one thing that happened. Match and Observe only read it.
type Event struct {
	// Logsource routes the event; if it is empty, all rules see it.
	Logsource Logsource
	// Time is when it happened. Correlations count in this time, so a caller
	// whose sources may lie about the time should bound it first.
	Time time.Time
	// Ref names the event to the caller (say, its position in a file). It is
	// not evaluated; correlations keep it in their samples.
	Ref string
	// Fields holds string, bool, int64, float64, nil, []any of those, and
	// nested map[string]any, reached by dotted names ("a.b"). A key that itself
	// holds the dots wins. Other types are compared by their fmt.Sprint form.
	Fields map[string]any
}
