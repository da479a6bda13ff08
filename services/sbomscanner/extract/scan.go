package extract

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// reportEvery is the number of files between two calls of Options.Progress.
const reportEvery = 1000

// scan collects what is found in one asset. One goroutine uses it.
type scan struct {
	ctx       context.Context //nolint:containedctx // one scan, one context
	extractor *Extractor
	limits    Limits
	result    inventory.Inventory
	progress  Progress
	used      map[string]room // by the first element of the location
	bytes     int             // of packages
}

func newScan(ctx context.Context, e *Extractor, asset inventory.Asset) *scan {
	return &scan{
		ctx: ctx, extractor: e, limits: e.options.Limits, used: map[string]room{},
		result: inventory.Inventory{Asset: asset, Packages: []inventory.Package{}},
	}
}

// visited counts a file or folder and reports whether another one may be read.
func (s *scan) visited() bool {
	s.progress.Visited++
	if s.progress.Visited%reportEvery == 0 {
		s.report()
	}
	return s.progress.Visited <= s.limits.Files && s.ctx.Err() == nil
}

func (s *scan) report() {
	if s.extractor.options.Progress != nil {
		s.extractor.options.Progress(s.progress)
	}
}

// add takes packages as far as there is room: whoever may write below one folder of the asset must leave some to the others.
func (s *scan) add(packages []inventory.Package) {
	share := room{packages: max(1, s.limits.Packages/4*3), bytes: maxPackageBytes / 4 * 3}
	full := map[string]bool{} // where something is missing
	s.result.Packages = slices.Grow(s.result.Packages, min(len(packages), s.limits.Packages-len(s.result.Packages)))
	for i := range packages {
		p := &packages[i]
		by, cost := "", costOf(p)
		if len(p.Locations) > 0 {
			by, _, _ = strings.Cut(p.Locations[0], "/")
		}
		own := s.used[by]
		switch {
		case len(s.result.Packages) >= s.limits.Packages || s.bytes+cost > maxPackageBytes:
			full[""] = true
		case own.packages >= share.packages || own.bytes+cost > share.bytes:
			full[by] = true
		default:
			s.used[by] = room{own.packages + 1, own.bytes + cost}
			s.bytes += cost
			s.result.Packages = append(s.result.Packages, *p)
		}
	}
	for by := range full {
		s.skip(by, tooMany, "more packages than the limit")
	}
}

// room is what packages take.
type room struct{ packages, bytes int }

// costOf is about the bytes of a package in an inventory on the disk, from above.
func costOf(p *inventory.Package) int {
	cost := 200
	for _, text := range []string{p.PURL, p.Name, p.Version, p.AdvisoryName, p.AdvisoryVersion, p.Layer} {
		cost += quoted(text)
	}
	for _, list := range [][]string{p.Locations, p.Groups, p.DependsOn, p.Licenses} {
		for _, text := range list {
			cost += quoted(text)
		}
	}
	return cost
}

// quoted is the length of a text in JSON, from above.
func quoted(text string) int {
	n := len(text) + 3
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == '<' || c == '>' || c == '&' || c == '"' || c == '\\' || c >= 0x7f {
			n += 5
		}
	}
	return n
}

// modified takes the time of an input that named a package.
func (s *scan) modified(at time.Time) {
	if at = at.UTC(); at.After(s.result.Time) {
		s.result.Time = at
	}
}

// skip counts something that was not read. The detail is for people and may hold text from the file.
func (s *scan) skip(path, reason, detail string) {
	if s.result.Skipped == nil {
		s.result.Skipped = map[string]int{}
	}
	s.result.Skipped[reason]++
	if len(s.result.Problems) < maxProblems {
		s.result.Problems = append(s.result.Problems, inventory.Problem{
			Path: event.Shorten(path, maxPath), Reason: event.Shorten(detail, maxReason),
		})
	}
}

// inventory returns what was found, in order.
func (s *scan) inventory() *inventory.Inventory {
	s.result.Sort()
	slices.SortStableFunc(s.result.Problems, func(a, b inventory.Problem) int { return strings.Compare(a.Path, b.Path) })
	return &s.result
}
