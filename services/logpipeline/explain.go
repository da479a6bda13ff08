package logpipeline

import (
	"fmt"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline/parse"
	"github.com/ironpost/ironpost/sigma"
)

// Explainer decodes lines as the pipeline does, and says how. It is safe for concurrent use.
type Explainer struct {
	parser *parse.Parser
	of     *inputSettings
	path   string
}

// NewExplainer returns an Explainer for the lines of the file path, "" for any, with the settings of cfg, which is valid. What is set of
// overriding, whose selector does not count, takes the place of those settings.
// It returns an error if a format of formats_path has a mistake, or cannot be read.
func NewExplainer(cfg Config, path string, overriding Input) (*Explainer, error) {
	formats, err := loadFormats(cfg)
	if err == nil {
		err = formats.problems.Err()
	}
	if err != nil {
		return nil, err
	}
	all := newInputs(cfg, formats.Set)
	all.override(cfg, overriding)
	of := &all.other
	if path != "" {
		of = all.ofFile(path)
	}
	return &Explainer{parser: parse.New(parse.Options{}), of: of, path: path}, nil
}

// override puts what is set of by in the place of every setting of in.
func (in *inputs) override(cfg Config, by Input) {
	for i := range in.list {
		in.list[i] = newInputSettings(cfg, in.list[i].of.overridden(by), in.formats)
	}
	in.other = newInputSettings(cfg, Input{}.overridden(by), in.formats)
}

func (in Input) overridden(by Input) Input {
	if by.Format != "" {
		in.Format = by.Format
	}
	if by.Timezone != "" {
		in.Timezone = by.Timezone
	}
	if by.TrustedProxies != nil {
		in.TrustedProxies = by.TrustedProxies
	}
	return in
}

// Explanation is how the pipeline understands a line. It is the same whoever asks, and what rules see of the line.
type Explanation struct {
	// Format is that of the outermost layer that is no envelope, "plain" if no layer knows one.
	Format string `json:"format"`
	// Time is when the line says that it was written, or its receipt; TimeFrom says which, and why.
	Time     time.Time `json:"time"`
	TimeFrom string    `json:"time_from"`
	// Logsource is what rules name with their logsource.
	Logsource sigma.Logsource `json:"logsource"`
	// Layers are what each layer took of the line, the outermost first.
	Layers []ExplainedLayer `json:"layers"`
	// Fields are what rules see, by name; their values are of JSON.
	Fields map[string]any `json:"fields"`
}

// ExplainedLayer is what one layer of the decoder did.
type ExplainedLayer struct {
	Name   string         `json:"name"`
	Took   string         `json:"took"`             // of the text that the layer got
	Fields map[string]any `json:"fields,omitempty"` // that it set
}

// Explain returns how a line that was received at received is understood.
func (e *Explainer) Explain(text []byte, received time.Time) Explanation {
	parsed, layers := e.parser.Explain(text, received, e.of.parse)
	in := &input{Event: parsed, received: received}
	in.setTime()
	in.setOrigin(event.Origin{Transport: event.TransportFile, Source: e.path}, e.of.trustOf(event.TrustUnproven))
	out := Explanation{
		Format: string(in.Format), Time: in.time.UTC(), TimeFrom: timeFrom(in), Logsource: in.Logsource, Fields: in.Fields.Map(),
		Layers: make([]ExplainedLayer, len(layers)),
	}
	for i, l := range layers {
		if l.Fields["message"] == "" { // it is not yet known
			delete(l.Fields, "message")
		}
		out.Layers[i] = ExplainedLayer{Name: l.Name, Took: l.Took, Fields: l.Fields}
	}
	return out
}

// timeFrom says where the time of in is from.
func timeFrom(in *input) string {
	switch {
	case in.Time.IsZero():
		return "receipt: the line says none"
	case !in.time.Equal(in.Time):
		return fmt.Sprintf("receipt: the line says %s, which is not believed", in.Time.UTC().Format(time.RFC3339))
	}
	return "line"
}
