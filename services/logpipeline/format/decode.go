package format

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/ironpost/ironpost/internal/glob"
	"github.com/ironpost/ironpost/internal/setting"
	"github.com/ironpost/ironpost/internal/tomlfile"
	"github.com/ironpost/ironpost/sigma"
)

const (
	maxPatterns = 50
	maxSamples  = 100
	maxEntries  = 256 // keys of a section
	maxLine     = 64 << 10
	minContains = 2 // bytes: one is in nearly every line
)

var isName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`).MatchString

// reserved are fields that say what a line is or where it is from: no format may set them.
var reserved = map[string]bool{"raw": true, "host": true, "truncated": true, "relay": true}

// decode reads the format of one document, and adds its mistakes to problems. It returns nil if there are any.
func decode(file string, data []byte, problems *tomlfile.Problems) *Format {
	before := problems.Count()
	s, ok := tomlfile.Parse(file, data, problems)
	if !ok {
		return nil
	}
	f := &Format{Position: s.At("name")}
	s.Require("name", "logsource", "sample")
	f.Name, f.Description = s.Text("name", ""), s.Text("description", "")
	if f.Name != "" && !isName(f.Name) {
		s.Problem("name", "%s is not a name: lower-case letters, digits and _, at most 40", setting.Shown(f.Name))
	}
	f.Programs = s.List("program", checkProgram)
	f.decodeLogsource(s.Table("logsource"))
	f.decodeText(s)
	f.decodeMembers(s)
	f.decodeFields(s)
	f.decodeEvent(s.Table("event"))
	f.decodeSamples(s)
	s.CheckUnknownKeys()
	if problems.Count() > before {
		return nil
	}
	return f
}

func checkProgram(text string) string {
	if text == "" || len(text) > glob.MaxPattern {
		return "a program must have 1 to " + strconv.Itoa(glob.MaxPattern) + " bytes"
	}
	return ""
}

func (f *Format) decodeLogsource(s *tomlfile.Section) {
	f.Logsource = sigma.Logsource{Category: s.Text("category", ""), Product: s.Text("product", ""), Service: s.Text("service", "")}
	s.CheckUnknownKeys()
	if f.Logsource == (sigma.Logsource{}) && s.Node.Table != nil {
		s.Problems.Add(s.Node.Position, "logsource", "is empty, must have category, product or service as the rules that are for this format")
	}
}

// decodeText reads how a text of the format looks.
func (f *Format) decodeText(s *tomlfile.Section) {
	f.Contains = s.List("contains", func(text string) string {
		if len(text) < minContains || len(text) > maxPattern {
			return "must have " + strconv.Itoa(minContains) + " bytes or more: what is in nearly every line tells no format"
		}
		return ""
	})
	f.decodePatterns(s, "regex", newRegex)
	f.decodePatterns(s, "grok", newGrok)
}

func (f *Format) decodePatterns(s *tomlfile.Section, key string, compile func(string) (pattern, error)) {
	v := s.Value(key)
	if v == nil {
		return
	}
	list := []*tomlfile.Node{v}
	if v.Kind == unstable.Array {
		list = v.List
	}
	for _, n := range list {
		if n.Kind != unstable.String {
			s.Problems.Add(n.Position, key, "is %s, must be a string or a list of strings", setting.TOMLKind(n.Kind))
			continue
		}
		p, err := compile(n.Text)
		if err != nil {
			s.Problems.Add(n.Position, key, "%s: %v", setting.Shown(n.Text), err)
		}
		f.patterns = append(f.patterns, p)
	}
	if len(f.patterns) > maxPatterns {
		s.Problem(key, "has %d patterns, allowed are %d", len(f.patterns), maxPatterns)
	}
}

// decodeMembers reads the section [json].
func (f *Format) decodeMembers(s *tomlfile.Section) {
	const key = "json"
	if s.Has("regex") || s.Has("grok") {
		if s.Has(key) {
			s.Problem(key, "is for JSON objects, regex and grok are for text: a format has one of them")
		}
		return
	}
	if !s.Has(key) {
		s.Problems.Add(s.Node.Position, key, "is missing, must say what members an object has, or regex or grok what a text looks like")
	}
	members := s.Table(key)
	for _, c := range decodeConstants(members) {
		f.Members = append(f.Members, Member{Name: c.Field, Text: c.Value.String()})
	}
	if s.Has(key) && len(f.Members) == 0 {
		s.Problem(key, `is empty, must name members that only objects of this format have, such as kind = "Event" or auditID = "*"`)
	}
}

// decodeFields reads the sections [fields], [join] and [set].
func (f *Format) decodeFields(s *tomlfile.Section) {
	f.Copies = append(decodeCopies(s.Table("fields"), false), decodeCopies(s.Table("join"), true)...)
	set := s.Table("set")
	f.Constants = decodeConstants(set)
	for _, c := range f.Constants {
		checkField(set, c.Field)
	}
}

func decodeCopies(s *tomlfile.Section, join bool) (out []Copy) {
	for _, name := range keysOf(s) {
		checkField(s, name)
		c := Copy{Field: name, Join: join}
		if v := s.Value(name); v.Kind == unstable.String && !join {
			c.From = []string{v.Text}
		} else {
			c.From = s.List(name, func(string) string { return "" })
		}
		out = append(out, c)
	}
	return out
}

func checkField(s *tomlfile.Section, name string) {
	if reserved[name] {
		s.Problems.Add(s.Node.KeyPositions[name], s.Path+name, "must not be set by a format: it says where a line is from")
	}
}

func (f *Format) decodeEvent(s *tomlfile.Section) {
	f.Event = Event{
		Time: s.Text("time", ""), Layout: s.Text("time_layout", ""), User: s.Text("user", ""),
		Source: s.Text("source", ""), SourcePort: s.Text("source_port", ""), Message: s.Text("message", ""),
	}
	if zone := s.Text("timezone", ""); zone != "" {
		location, err := time.LoadLocation(zone)
		if err != nil {
			s.Problem("timezone", "%s is no time zone of the IANA database, such as UTC or Europe/Berlin", setting.Shown(zone))
		}
		f.Event.Zone = location
	}
	s.CheckUnknownKeys()
	if f.Event.Time == "" && (f.Event.Layout != "" || f.Event.Zone != nil) {
		s.Problems.Add(s.Node.Position, s.Path+"time", "is missing, must name the field that the layout or zone is of")
	}
}

func (f *Format) decodeSamples(s *tomlfile.Section) {
	v := s.Get("sample", unstable.Array, "a list of sections [[sample]]")
	if v == nil {
		return
	}
	if len(v.List) > maxSamples {
		s.Problem("sample", "has %d samples, allowed are %d", len(v.List), maxSamples)
		return
	}
	for _, n := range v.List {
		if n.Kind != unstable.InlineTable {
			s.Problems.Add(n.Position, "sample", "is %s, must be a section [[sample]]", setting.TOMLKind(n.Kind))
			continue
		}
		f.Samples = append(f.Samples, decodeSample(&tomlfile.Section{Path: "sample.", Node: n, Problems: s.Problems}))
	}
}

func decodeSample(s *tomlfile.Section) Sample {
	s.Require("line", "fields")
	out := Sample{Position: s.At("line"), Line: strings.TrimRight(s.LongText("line", "", maxLine), "\n")}
	if at := s.Text("time", ""); at != "" {
		t, err := time.Parse(time.RFC3339Nano, at)
		if err != nil {
			s.Problem("time", "%s is no time such as \"2026-11-03T15:04:05Z\"", setting.Shown(at))
		}
		out.Time = t
	}
	out.Fields = decodeConstants(s.Table("fields"))
	s.CheckUnknownKeys()
	return out
}

// keysOf returns the keys of s in order; more than maxEntries are a problem.
func keysOf(s *tomlfile.Section) []string {
	if len(s.Node.Keys) > maxEntries {
		s.Problems.Add(s.Node.Position, strings.TrimSuffix(s.Path, "."), "has %d keys, allowed are %d", len(s.Node.Keys), maxEntries)
		return nil
	}
	return s.Node.Keys
}

// decodeConstants reads a section of names and their values: text, numbers and booleans. Inner sections are names with dots.
func decodeConstants(s *tomlfile.Section) []Constant {
	var out []Constant
	for _, name := range keysOf(s) {
		v := s.Value(name)
		value, ok := valueOf(v)
		switch {
		case ok:
			out = append(out, Constant{Field: name, Value: value})
		case v.Kind == unstable.InlineTable:
			for _, c := range decodeConstants(&tomlfile.Section{Path: s.Path + name + ".", Node: v, Problems: s.Problems}) {
				out = append(out, Constant{Field: name + "." + c.Field, Value: c.Value})
			}
		default:
			s.Problem(name, "is %s, must be a string, a number, true or false", setting.TOMLKind(v.Kind))
		}
	}
	return out
}

func valueOf(v *tomlfile.Node) (sigma.Value, bool) {
	switch v.Kind {
	case unstable.String:
		return sigma.Text(v.Text), true
	case unstable.Bool:
		return sigma.Bool(v.Text == "true"), true
	case unstable.Integer:
		n, err := strconv.ParseInt(strings.ReplaceAll(v.Text, "_", ""), 0, 64)
		return sigma.Int(n), err == nil
	case unstable.Float:
		n, err := strconv.ParseFloat(strings.ReplaceAll(v.Text, "_", ""), 64)
		return sigma.NewValue(n), err == nil
	}
	return sigma.Value{}, false
}
