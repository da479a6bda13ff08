package sigma

import (
	"errors"
	"strings"
	"sync"
)

// Options are the parameters of Compile.
type Options struct {
	// Placeholders are the values of %name% in values with the expand modifier.
	// They are Sigma strings, so wildcards in them work. A rule with a
	// placeholder that is missing here is refused.
	Placeholders map[string][]string
	// Limits bound the memory of correlators; zero fields take the defaults.
	Limits Limits
}

// Compile resolves references, expands placeholders and applies filters. It
// refuses duplicate ids and names, unknown and circular references, missing
// placeholders and correlation types that are not evaluated. All problems are
// joined into one error of *ParseError; the RuleSet is then nil.
func Compile(docs []Document, opts Options) (*RuleSet, error) {
	c := &compiler{
		builder: newBuilder(opts.Placeholders),
		rs:      &RuleSet{limits: opts.Limits.withDefaults()},
		byName:  make(map[string]*target),
	}
	c.collect(docs)
	c.buildRules()
	c.applyFilters(docs)
	c.buildCorrelations()
	if len(c.builder.errs) > 0 {
		return nil, errors.Join(c.builder.errs...)
	}
	names, slots := c.builder.fieldNames, c.builder.slots
	c.rs.pool = &sync.Pool{New: func() any {
		return &evaluation{slots: slots, fieldNames: names, fields: make([]field, len(names))}
	}}
	return c.rs, nil
}

// target is the rule, correlation or filter that an id or name stands for.
type target struct {
	rule        int // index into RuleSet.rules; -1 if it is no rule
	correlation int // index into RuleSet.correlations; -1 if it is no correlation
	meta        *Meta
}

type compiler struct {
	builder *builder
	rs      *RuleSet
	byName  map[string]*target // by id and by name
}

func (c *compiler) fail(at Source, format string, args ...any) {
	c.builder.errs = append(c.builder.errs, errorAt(at, format, args...))
}

func (c *compiler) collect(docs []Document) {
	for _, d := range docs {
		switch {
		case d.Rule != nil:
			c.register(&target{rule: len(c.rs.rules), correlation: -1, meta: &d.Rule.Meta})
			c.rs.rules = append(c.rs.rules, d.Rule)
		case d.Correlation != nil:
			c.register(&target{rule: -1, correlation: len(c.rs.correlations), meta: &d.Correlation.Meta})
			c.rs.correlations = append(c.rs.correlations, d.Correlation)
		case d.Filter != nil:
			c.register(&target{rule: -1, correlation: -1, meta: &d.Filter.Meta})
		}
	}
}

// register makes t known by its id and its name, which must both be unique.
func (c *compiler) register(t *target) {
	for _, name := range []string{t.meta.ID, t.meta.Name} {
		if name == "" {
			continue
		}
		if other, used := c.byName[name]; used {
			c.fail(t.meta.Source, "%q is already used by %q in %s", name, other.meta.Title, other.meta.Source)
			continue
		}
		c.byName[name] = t
	}
}

// resolve returns what ref refers to. Ids are compared in lower case.
func (c *compiler) resolve(ref reference) (*target, bool) {
	name := ref.name
	if uuidForm.MatchString(name) {
		name = strings.ToLower(name)
	}
	t, ok := c.byName[name]
	if !ok {
		c.fail(ref.at, "there is no rule with the id or name %q", ref.name)
	}
	return t, ok
}

func (c *compiler) buildRules() {
	indexes := make(map[Logsource]int)
	for _, rule := range c.rs.rules {
		i, ok := indexes[rule.Logsource]
		if !ok {
			i = len(c.rs.logsources)
			indexes[rule.Logsource] = i
			c.rs.logsources = append(c.rs.logsources, rule.Logsource)
		}
		c.rs.compiledRules = append(c.rs.compiledRules, compiledRule{root: c.builder.detection(rule.detection), logsource: i})
	}
}

// applyFilters adds the condition of every filter to the rules it applies to.
func (c *compiler) applyFilters(docs []Document) {
	for _, d := range docs {
		f := d.Filter
		if f == nil {
			continue
		}
		condition := c.builder.detection(f.detection)
		for i, rule := range c.rs.rules {
			if f.Rules == nil && !f.Logsource.Conflicts(rule.Logsource) {
				c.rs.compiledRules[i].addCondition(condition)
			}
		}
		for _, ref := range f.refs {
			t, ok := c.resolve(ref)
			switch {
			case !ok:
			case t.rule < 0:
				c.fail(ref.at, "%q is no detection rule: filters apply to detection rules only", ref.name)
			case f.Logsource.Conflicts(c.rs.rules[t.rule].Logsource):
				c.fail(ref.at, "the logsource of this filter conflicts with that of %q", ref.name)
			default:
				c.rs.compiledRules[t.rule].addCondition(condition)
			}
		}
	}
}

func (r *compiledRule) addCondition(condition node) {
	r.root = allOf{r.root, condition}
}
