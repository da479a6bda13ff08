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
}

func newScan(ctx context.Context, e *Extractor, asset inventory.Asset) *scan {
	return &scan{
		ctx: ctx, extractor: e, limits: e.options.Limits,
		result: inventory.Inventory{Asset: asset, Packages: []inventory.Package{}},
	}
}

// visited counts a file or folder and reports whether another one may be read.
func (s *scan) visited(path string) bool {
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

// add takes the packages of one file.
func (s *scan) add(packages []inventory.Package) {
	room := s.limits.Packages - len(s.result.Packages)
	if len(packages) > room {
		s.skip("", tooMany, "more packages than the limit")
		packages = packages[:room]
	}
	s.result.Packages = append(s.result.Packages, packages...)
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
