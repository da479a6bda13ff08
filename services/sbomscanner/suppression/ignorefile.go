package suppression

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/setting"
)

const (
	maxIgnoreFile = 1 << 20
	maxEntries    = 10_000
	maxProblems   = 100
	maxText       = 1 << 10
	maxEnd        = 366 * 24 * time.Hour
	ignoreHeader  = "ignore"
)

// entry is one [[ignore]] of the ignore file.
type entry struct {
	Suppression

	id, purl *regexp.Regexp // nil: any
}

func (e entry) matches(f Finding) bool {
	if e.purl != nil && !e.purl.MatchString(f.PURL) {
		return false
	}
	if e.id == nil {
		return true
	}
	return slices.ContainsFunc(f.Names, e.id.MatchString)
}

// ignoreParser reads the ignore file:
//
//	[[ignore]]
//	id = "CVE-2024-1234"          # or any alias; * is any text
//	package = "pkg:npm/lodash@*"  # package URL; id or package, or both
//	reason = "the parser is not reachable"
//	expires = 2027-01-31          # at most 366 days ahead
type ignoreParser struct {
	path     string
	data     []byte
	starts   []int // offset of each line's first byte
	now      time.Time
	problems []located
	omitted  int
}

// located is a mistake and its offset in the file.
type located struct {
	at  int
	err error
}

func parseIgnoreFile(path string, data []byte, now time.Time) ([]entry, error) {
	p := &ignoreParser{path: path, data: data, starts: []int{0}, now: now}
	for i, b := range data {
		if b == '\n' {
			p.starts = append(p.starts, i+1)
		}
	}
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("%s: not UTF-8", path)
	}
	var whole map[string]any
	if err := toml.Unmarshal(data, &whole); err != nil { // refuses what the parser does not, such as a key set twice
		if syntax, ok := errors.AsType[*toml.DecodeError](err); ok {
			line, column := syntax.Position()
			return nil, fmt.Errorf("%s:%d:%d: syntax error: %w", path, line, column, err)
		}
		return nil, fmt.Errorf("%s: syntax error: %w", path, err)
	}
	entries := p.entries()
	slices.SortStableFunc(p.problems, func(a, b located) int { return a.at - b.at })
	var errs []error
	for _, problem := range p.problems {
		errs = append(errs, problem.err)
	}
	if p.omitted > 0 {
		errs = append(errs, fmt.Errorf("%s: and %d more problems", path, p.omitted))
	}
	return entries, errors.Join(errs...)
}

// rawEntry is an entry as it is written; at has the offset of each key's value, and of the header under "".
type rawEntry struct {
	text map[string]string
	at   map[string]int
}

func (p *ignoreParser) entries() []entry {
	var parser unstable.Parser
	parser.Reset(p.data)
	var raw []*rawEntry
	for parser.NextExpression() {
		e := parser.Expression()
		switch e.Kind {
		case unstable.ArrayTable:
			raw = append(raw, p.header(e))
		case unstable.Table:
			p.header(e)
		case unstable.KeyValue:
			if len(raw) == 0 {
				p.keyOutside(e)
				continue
			}
			p.keyValue(raw[len(raw)-1], e)
		}
	}
	if len(raw) > maxEntries {
		p.problem(raw[maxEntries].at[""], "", "the file has more than %d entries", maxEntries)
		raw = raw[:maxEntries]
	}
	out := make([]entry, 0, len(raw))
	for _, r := range raw {
		out = append(out, p.entry(r))
	}
	return out
}

func (p *ignoreParser) header(e *unstable.Node) *rawEntry {
	r := &rawEntry{text: map[string]string{}, at: map[string]int{}}
	it := e.Key()
	it.Next()
	name := it.Node()
	r.at[""] = int(name.Raw.Offset)
	if it.Next() || string(name.Data) != ignoreHeader || e.Kind != unstable.ArrayTable {
		p.problem(r.at[""], "", "unknown section, every entry is a section [[%s]]", ignoreHeader)
	}
	return r
}

func (p *ignoreParser) keyOutside(e *unstable.Node) {
	it := e.Key()
	it.Next()
	p.problem(int(it.Node().Raw.Offset), setting.Key(string(it.Node().Data)), "stands before the first section [[%s]]", ignoreHeader)
}

// keyValue reads one key of an entry.
func (p *ignoreParser) keyValue(r *rawEntry, e *unstable.Node) {
	it := e.Key()
	it.Next()
	node := it.Node()
	key, at := string(node.Data), int(node.Raw.Offset)
	rest := p.data[node.Raw.Offset+node.Raw.Length:]
	r.at[key] = len(p.data) - len(bytes.TrimLeft(rest, " \t="))
	value := e.Value()
	switch key {
	case "id", "package", "reason":
		if value.Kind != unstable.String {
			p.problem(r.at[key], key, "is %s, must be a string", setting.TOMLKind(value.Kind))
			return
		}
	case "expires":
		if value.Kind != unstable.LocalDate && value.Kind != unstable.DateTime {
			p.problem(r.at[key], key, "is %s, must be a date such as 2027-01-31, or a time with its zone", setting.TOMLKind(value.Kind))
			return
		}
	default:
		p.problem(at, setting.Key(key), "unknown key, allowed are id, package, reason, expires")
		return
	}
	if len(value.Data) > maxText {
		p.problem(r.at[key], key, "has %d bytes, allowed are %d", len(value.Data), maxText)
		return
	}
	r.text[key] = string(value.Data)
}

// entry checks r and returns what it says.
func (p *ignoreParser) entry(r *rawEntry) entry {
	e := entry{Suppression: Suppression{Source: p.positionOf(r.at[""]), Status: "ignored", Reason: r.text["reason"]}}
	for _, key := range []string{"id", "package", "reason"} {
		if _, given := r.text[key]; given && strings.TrimSpace(r.text[key]) == "" {
			p.problem(r.at[key], key, "must not be empty")
		}
	}
	if _, given := r.at["reason"]; !given {
		p.problem(r.at[""], "reason", "is missing: say why the finding does not matter")
	}
	_, id := r.at["id"]
	_, purl := r.at["package"]
	if !id && !purl {
		p.problem(r.at[""], "", "needs id or package, or both")
	}
	e.id, e.purl = pattern(r.text["id"]), pattern(r.text["package"])
	e.Expires = p.expires(r)
	return e
}

func (p *ignoreParser) expires(r *rawEntry) time.Time {
	at, given := r.at["expires"]
	if !given {
		p.problem(r.at[""], "expires", "is missing: the day from which it is reported again, at most 366 days ahead")
		return time.Time{}
	}
	text := strings.Replace(r.text["expires"], " ", "T", 1)
	end, err := time.Parse(time.RFC3339, strings.ToUpper(text))
	if err != nil {
		end, err = time.Parse(time.DateOnly, text)
	}
	switch {
	case text == "": // reported already
	case err != nil:
		p.problem(at, "expires", "%s is not a date such as 2027-01-31, or a time with its zone", setting.Shown(text))
	case end.Sub(p.now) > maxEnd:
		p.problem(at, "expires", "%s is more than 366 days ahead", setting.Shown(text))
	}
	return end
}

// pattern compiles a pattern in which * is any text; nil for none.
func pattern(text string) *regexp.Regexp {
	if text == "" {
		return nil
	}
	return regexp.MustCompile(`^(?s:` + strings.ReplaceAll(regexp.QuoteMeta(text), `\*`, `.*`) + `)$`)
}

func (p *ignoreParser) problem(at int, key, format string, args ...any) {
	if len(p.problems) >= maxProblems {
		p.omitted++
		return
	}
	what := fmt.Sprintf(format, args...)
	if key != "" {
		what = key + ": " + what
	}
	p.problems = append(p.problems, located{at, errors.New(p.positionOf(at) + ": " + event.Printable(what, maxText))})
}

func (p *ignoreParser) positionOf(offset int) string {
	line := sort.SearchInts(p.starts, offset+1)
	return fmt.Sprintf("%s:%d:%d", p.path, line, utf8.RuneCount(p.data[p.starts[line-1]:offset])+1)
}
