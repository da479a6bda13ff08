package match

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// Options says how a Matcher rates what it finds.
type Options struct {
	// UnknownSeverity is the severity of a finding whose advisories state none. Info, the zero value, stands for Medium: what
	// nobody rated must not fall below every threshold.
	UnknownSeverity event.Severity
}

// Matcher finds the advisories of one store that affect the packages of inventories. It keeps nothing between calls and may
// be used concurrently, as long as the store is open.
type Matcher struct {
	store   *advisory.Store
	unknown event.Severity
}

// New returns a matcher over store.
func New(store *advisory.Store, o Options) *Matcher {
	return &Matcher{store: store, unknown: cmp.Or(o.UnknownSeverity, event.Medium)}
}

// Match returns the findings of all packages of inv, which it does not change. A package whose ecosystem has no advisories, or
// whose version cannot be compared, is counted in the result, so that it is never taken for one without vulnerabilities. It
// fails only if ctx ends or the store cannot be read.
func (m *Matcher) Match(ctx context.Context, inv *inventory.Inventory) (*Result, error) {
	return m.each(ctx, inv, func(r *reader, _ *inventory.Package, s *subject, candidates []*advisory.Advisory) ([]hit, bool) {
		return s.hits(r, candidates)
	})
}

// Describe is Match where another engine decided: affects returns the ids of the advisories that it says affect a package.
// Those that the store does not have are left out.
func (m *Matcher) Describe(ctx context.Context, inv *inventory.Inventory, affects func(*inventory.Package) []string) (*Result, error) {
	return m.each(ctx, inv, func(_ *reader, p *inventory.Package, s *subject, candidates []*advisory.Advisory) ([]hit, bool) {
		return s.chosen(candidates, affects(p)), false
	})
}

// decision says which of the advisories that name a package affect it, and whether one of the others could not be decided.
type decision func(*reader, *inventory.Package, *subject, []*advisory.Advisory) (hits []hit, unreadable bool)

// pass is one call of Match or Describe.
type pass struct {
	*Matcher
	reader *reader
	names  aliases
	decide decision
	budget budget
	result *Result
}

func (m *Matcher) newPass(decide decision) *pass {
	return &pass{
		Matcher: m, reader: newReader(m.store), names: aliases{store: m.store, known: map[string]*names{}}, decide: decide, budget: budget{by: map[string]int{}},
		result: &Result{Findings: []Finding{}, NotAssessed: map[string]int{}, Unreadable: map[string]int{}},
	}
}

func (m *Matcher) each(ctx context.Context, inv *inventory.Inventory, decide decision) (*Result, error) {
	p := m.newPass(decide)
	for i := range inv.Packages {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !p.budget.allows(&inv.Packages[i]) {
			p.skip(&inv.Packages[i])
			continue
		}
		if err := p.assess(&inv.Packages[i]); err != nil {
			return nil, fmt.Errorf("matching %s: %w", inv.Packages[i].PURL, err)
		}
	}
	slices.SortFunc(p.result.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.PURL, b.PURL), cmp.Compare(a.ID, b.ID))
	})
	return p.result, nil
}

// assess adds to the result what is known about a package.
func (p *pass) assess(of *inventory.Package) error {
	s := newSubject(of)
	candidates, err := p.reader.lookup(s.base, s.name)
	if errors.Is(err, advisory.ErrNotCovered) {
		p.result.NotAssessed[cmp.Or(s.base, purlType(of.PURL))]++
		return nil
	}
	if err != nil {
		return err
	}
	hits, unreadable := p.decide(p.reader, of, &s, candidates)
	if unreadable {
		p.result.Unreadable[s.base]++
	}
	before := len(p.result.Findings)
	err = p.report(of, &s, hits)
	p.budget.charge(of, len(candidates), p.result.Findings[before:])
	return err
}

// report adds the findings that hits are to the result.
func (p *pass) report(of *inventory.Package, s *subject, hits []hit) error {
	groups, err := p.names.group(hits)
	if err != nil {
		return err
	}
	for _, g := range groups {
		f, err := p.finding(of, s, g)
		if err != nil {
			return err
		}
		p.result.Findings = append(p.result.Findings, f)
	}
	return nil
}

// finding describes one vulnerability of a package.
func (p *pass) finding(of *inventory.Package, s *subject, g *group) (Finding, error) {
	f := Finding{
		PURL: of.PURL, Name: of.Name, Version: of.Version, Ecosystem: of.Ecosystem,
		Locations: of.Locations, Groups: of.Groups, Layer: of.Layer,
		ID: g.id(), IDs: g.ids(), Summary: g.summary(), Fixed: s.fixed(p.reader, g.hits),
	}
	f.Aliases = g.otherNames(f.ID, f.IDs)
	stated, ok := g.severity()
	f.Severity, f.Score, f.Vector, f.From = stated.severity, stated.score, stated.vector, stated.from
	if !ok {
		f.Severity, f.Unknown = p.unknown, true
	}
	for _, cve := range g.cves() {
		_, exploited, err := p.store.KEV(cve)
		if err != nil {
			return Finding{}, err
		}
		scores, _, err := p.store.EPSS(cve)
		if err != nil {
			return Finding{}, err
		}
		f.KEV = f.KEV || exploited
		f.EPSS = max(f.EPSS, scores.Probability)
	}
	return f, nil
}

// Reaches reports whether f is at least as severe as least, or is known to be exploited, which outranks any rating.
func (f *Finding) Reaches(least event.Severity) bool { return f.KEV || f.Severity >= least }

// purlType is the type of a package URL: npm in pkg:npm/left-pad@1.3.0.
func purlType(purl string) string {
	kind, _, _ := strings.Cut(strings.TrimPrefix(purl, "pkg:"), "/")
	return cmp.Or(kind, "unknown")
}
