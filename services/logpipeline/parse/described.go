package parse

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/internal/tomlfile"
	"github.com/ironpost/ironpost/services/logpipeline/format"
	"github.com/ironpost/ironpost/sigma"
)

// parseDescribed parses a text by the first format of Input.Described that fits, and reports whether one does.
func (e *Event) parseDescribed(text string) bool {
	for _, f := range e.settings.input.Described.Texts() {
		if !e.tries(f) {
			continue
		}
		fields, ok := f.Match(text)
		if !ok {
			continue
		}
		for _, c := range fields {
			name := c.Field
			if e.has(name) {
				name = "inner." + name // layers around the text take precedence
			}
			e.Fields.Set(name, c.Value)
		}
		e.describe(f)
		if e.Format == Plain {
			e.Format = e.layer
		}
		e.took(f.Name, text)
		return true
	}
	return false
}

// parseDescribedObject is parseDescribed of a JSON object, whose members are set.
func (e *Event) parseDescribedObject() bool {
	for _, f := range e.settings.input.Described.Objects() {
		if e.tries(f) && !slices.ContainsFunc(f.Members, e.lacks) {
			e.describe(f)
			return true
		}
	}
	return false
}

// tries reports whether the text may be of f: by the program that the header names, and by Input.Format.
func (e *Event) tries(f *format.Format) bool {
	only := e.settings.input.Format
	return f.Reads(e.Process) && (only == "" || only == f.Name || only == string(JSON) && f.IsJSON())
}

func (e *Event) lacks(m format.Member) bool {
	v := e.valueAt(m.Name)
	return v == nil || m.Text != "*" && sigma.NewValue(v).String() != m.Text
}

// describe sets what f says of the event besides the fields that are its parts.
func (e *Event) describe(f *format.Format) {
	e.Logsource, e.layer = f.Logsource, Format(f.Name)
	for _, c := range f.Copies {
		if v := e.copied(c); v != nil {
			e.setValue(c.Field, v)
		}
	}
	for _, c := range f.Constants {
		e.Fields.Set(c.Field, c.Value)
	}
	e.describeEvent(f.Event)
}

// copied returns the value for the field of c, nil if there is none.
func (e *Event) copied(c format.Copy) any {
	var texts []string
	for _, from := range c.From {
		v := e.valueAt(from)
		if v != nil && !c.Join {
			return v
		}
		if text := sigma.NewValue(v).String(); v != nil && text != "" {
			texts = append(texts, text)
		}
	}
	if len(texts) == 0 {
		return nil
	}
	return strings.Join(texts, " ")
}

// valueAt is value, of which a part may be the number of an element of a list.
func (e *Event) valueAt(path string) any {
	if v := e.value(path); v != nil {
		return v
	}
	first, rest, _ := strings.Cut(path, ".")
	v := e.value(first)
	for rest != "" {
		first, rest, _ = strings.Cut(rest, ".")
		switch within := v.(type) {
		case map[string]any:
			v = within[first]
		case []any:
			i, err := strconv.Atoi(first)
			if err != nil || i < 0 || i >= len(within) {
				return nil
			}
			v = within[i]
		default:
			return nil
		}
	}
	return v
}

func (e *Event) describeEvent(of format.Event) {
	if at := e.describedTime(of); !at.IsZero() {
		e.Time = at
	}
	if user := e.text(of.User); user != "" {
		e.setUser(user)
	}
	if source := e.text(of.Source); source != "" && !e.disagree([]string{of.Source}) {
		e.setSource(source)
	}
	if n, err := strconv.ParseUint(e.text(of.SourcePort), 10, 16); err == nil {
		e.setPort(uint16(n))
	}
	if message := e.text(of.Message); message != "" {
		e.Message = message
	}
}

// describedTime returns the time in the field of.Time, zero if there is none.
func (e *Event) describedTime(of format.Event) time.Time {
	text := e.text(of.Time)
	if text == "" {
		return time.Time{}
	}
	settings := e.settings
	if of.Zone != nil {
		settings.zone = of.Zone
	}
	if of.Layout != "" {
		at, _ := time.ParseInLocation(of.Layout, text, settings.zone)
		return at
	}
	if t, rest, ok := settings.cutTimestamp(text); ok && rest == "" {
		return t.at
	}
	return since1970Text(text)
}

// CheckDescribed reads the samples of formats, as lines of a set of all of them, and adds a problem for each that is not read as it says, or
// whose format has the name of a built-in one or is for a program that has a built-in one.
func CheckDescribed(formats []*format.Format, set *format.Set, problems *tomlfile.Problems) {
	parser := New(Options{Location: time.UTC})
	for _, f := range formats {
		if slices.Contains(Formats(), f.Name) {
			problems.Add(f.Position, "name", "%q is the name of a built-in format, choose another", f.Name)
		}
		for _, program := range f.Programs {
			if _, known := programs[familyOf(program)]; known {
				problems.Add(f.Position, "program", "messages of %q have a built-in format", program)
			}
		}
		for _, s := range f.Samples {
			if err := parser.checkSample(f, s, set); err != nil {
				problems.Add(s.Position, "sample", "%v", err)
			}
		}
	}
}

func (p *Parser) checkSample(f *format.Format, s format.Sample, set *format.Set) error {
	received := s.Time
	if received.IsZero() {
		received = time.Now()
	}
	ev, layers := p.Explain([]byte(s.Line), received, Input{Described: set})
	names := make([]string, 0, len(layers))
	for _, l := range layers {
		names = append(names, l.Name)
	}
	if !slices.Contains(names, f.Name) {
		return fmt.Errorf("is not read as %s but as %s", f.Name, strings.Join(names, ", "))
	}
	var wrong []error
	if !s.Time.IsZero() && !s.Time.Equal(ev.Time) {
		wrong = append(wrong, fmt.Errorf("time is %s, not %s", ev.Time.UTC().Format(time.RFC3339Nano), s.Time.UTC().Format(time.RFC3339Nano)))
	}
	for _, want := range s.Fields {
		got := ev.valueAt(want.Field)
		if got == nil {
			wrong = append(wrong, fmt.Errorf("field %s is missing", want.Field))
		} else if fmt.Sprint(got) != fmt.Sprint(want.Value.Any()) {
			wrong = append(wrong, fmt.Errorf("field %s is %q, not %q", want.Field, fmt.Sprint(got), fmt.Sprint(want.Value.Any())))
		}
	}
	return errors.Join(wrong...)
}
