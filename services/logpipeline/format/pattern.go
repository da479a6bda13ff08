package format

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/elastic/go-grok"

	"github.com/ironpost/ironpost/sigma"
)

const (
	maxPattern      = 8 << 10 // bytes
	maxInstructions = 20_000  // of the program that a regular expression is compiled to: they bound the time for a byte of a line
)

// pattern reads the fields of a text. It is a regular expression of RE2 with named groups, or a grok pattern.
type pattern struct {
	re    *regexp.Regexp
	first *firstBytes // nil for grok, whose expression is not known
	grok  *grok.Grok
}

var errNotAnchored = errors.New("must begin with ^: a text that somebody put into a line of another program would be read as this format otherwise")

// newRegex compiles a regular expression.
func newRegex(text string) (pattern, error) {
	if err := checkPattern(text); err != nil {
		return pattern{}, err
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return pattern{}, err
	}
	if !slices.ContainsFunc(re.SubexpNames(), func(name string) bool { return name != "" }) {
		return pattern{}, errors.New("has no named group, such as (?P<user>[a-z]+)")
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return pattern{}, err
	}
	return pattern{re: re, first: firstOf(parsed.Simplify())}, checkSize(parsed)
}

// newGrok compiles a grok pattern: of the patterns that come with Logstash, in named captures such as %{IP:src_ip} and %{INT:status:int}.
func newGrok(text string) (pattern, error) {
	if err := checkPattern(text); err != nil {
		return pattern{}, err
	}
	g, err := grok.NewComplete()
	if err != nil {
		return pattern{}, err
	}
	if err := g.Compile(text, true); err != nil {
		return pattern{}, err
	}
	if !g.HasCaptureGroups() {
		return pattern{}, errors.New("has no named capture, such as %{IP:src_ip}")
	}
	return pattern{grok: g}, nil
}

func checkPattern(text string) error {
	if len(text) > maxPattern {
		return fmt.Errorf("has %d bytes, allowed are %d", len(text), maxPattern)
	}
	if !strings.HasPrefix(text, "^") {
		return errNotAnchored
	}
	return nil
}

func checkSize(parsed *syntax.Regexp) error {
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return err
	}
	if n := len(prog.Inst); n > maxInstructions {
		return fmt.Errorf("is too large: %d steps for each character, allowed are %d; write fewer or smaller repetitions", n, maxInstructions)
	}
	return nil
}

// match returns what p captures of text; groups that captured nothing are left out.
func (p pattern) match(text string) (fields []Constant, ok bool) {
	if text == "" {
		return nil, false
	}
	if p.re != nil {
		return p.matchRegex(text)
	}
	found, err := p.grok.ParseTypedString(text)
	if err != nil { // a number that is too large stays text
		texts, _ := p.grok.ParseString(text)
		found = map[string]any{}
		for name, value := range texts {
			found[name] = value
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		fields = append(fields, Constant{Field: name, Value: sigma.NewValue(found[name])})
	}
	return fields, len(fields) > 0 || p.grok.MatchString(text)
}

func (p pattern) matchRegex(text string) (fields []Constant, ok bool) {
	if !p.first[text[0]] { // most: it costs a hundredth of the search
		return nil, false
	}
	at := p.re.FindStringSubmatchIndex(text)
	if at == nil {
		return nil, false
	}
	for i, name := range p.re.SubexpNames() {
		if name != "" && at[2*i] >= 0 && at[2*i] < at[2*i+1] {
			fields = append(fields, Constant{Field: name, Value: sigma.Text(text[at[2*i]:at[2*i+1]])})
		}
	}
	return fields, true
}
