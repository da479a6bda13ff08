package parse

import (
	"maps"
	"time"
)

// Layer is what one layer of the decoder did with a text.
type Layer struct {
	// Name is "bytes", "framing", "header", "time", "program <name>", or the Format of an envelope or of what the text was recognised as.
	Name string
	// Took is the part of the text that the layer read.
	Took string
	// Fields are the fields that the layer set; their values are as in Event.Fields.
	Fields map[string]any
}

// trace collects the layers of one line.
type trace struct {
	layers []Layer
	seen   map[string]any // the fields after the last layer
}

// took notes that a layer read text, if somebody asked for it.
func (e *Event) took(layer, text string) {
	if e.trace == nil {
		return
	}
	now := e.attributes()
	added := maps.Clone(now)
	maps.DeleteFunc(added, func(name string, value any) bool {
		before, had := e.trace.seen[name]
		return had && isSame(before, value)
	})
	e.trace.layers = append(e.trace.layers, Layer{Name: layer, Took: text, Fields: added})
	e.trace.seen = now
}

// attributes returns the fields, and those that finish adds.
func (e *Event) attributes() map[string]any {
	copied := *e
	copied.Fields = e.Fields.Clone()
	copied.finish("")
	fields := copied.Fields.Map()
	delete(fields, "raw")
	if _, exists := fields["time"]; !exists && !e.Time.IsZero() {
		fields["time"] = e.Time.Format(time.RFC3339Nano)
	}
	return fields
}

func isSame(a, b any) bool {
	switch a.(type) {
	case []any, map[string]any:
		return true // no layer changes one that is set
	}
	return a == b
}

// Explain parses line as Parse does, and returns what each layer took of it, the outermost first. What no layer read is in Event.Message.
func (p *Parser) Explain(line []byte, now time.Time, in Input) (Event, []Layer) {
	ev := p.newEvent(now, in)
	seen := &trace{}
	ev.trace = seen
	ev.parse(string(line))
	return ev, seen.layers
}
