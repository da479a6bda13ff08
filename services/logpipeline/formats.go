package logpipeline

import (
	"fmt"
	"slices"

	"github.com/ironpost/ironpost/internal/tomlfile"
	"github.com/ironpost/ironpost/services/logpipeline/format"
	"github.com/ironpost/ironpost/services/logpipeline/parse"
)

// formatSet is the described formats in use, and the mistakes of the files that were left out.
type formatSet struct {
	*format.Set
	problems tomlfile.Problems
}

// loadFormats returns the formats of the file or folder c.FormatsPath, and the shipped ones behind them. One of the same name takes the place of
// a shipped one. A format with a mistake, or with a sample that is read otherwise than it says, is left out and named in problems. It returns an
// error if formats_path itself cannot be read.
func loadFormats(c Config) (*formatSet, error) {
	shipped, err := format.Shipped()
	if err != nil {
		return nil, fmt.Errorf("shipped formats: %w", err)
	}
	set := &formatSet{Set: format.NewSet(shipped)}
	if c.FormatsPath == "" {
		return set, nil
	}
	own, err := format.Load(c.FormatsPath, &set.problems)
	if err != nil {
		return nil, fmt.Errorf("formats_path: %w", err)
	}
	parse.CheckDescribed(own, together(own, shipped), &set.problems)
	own = slices.DeleteFunc(own, func(f *format.Format) bool {
		return slices.ContainsFunc(set.problems.All, func(p tomlfile.Problem) bool { return p.Position.File == f.Position.File })
	})
	set.Set = together(own, shipped)
	return set, nil
}

// together returns the set of own, and behind them those of shipped that have other names.
func together(own, shipped []*format.Format) *format.Set {
	all := slices.Clone(own)
	for _, f := range shipped {
		if !slices.ContainsFunc(own, func(o *format.Format) bool { return o.Name == f.Name }) {
			all = append(all, f)
		}
	}
	return format.NewSet(all)
}

// trustedFormats is loadFormats, and an error if a user who is not trusted can change them. What is wrong is a reason of health.
func (s *Service) trustedFormats(c Config) (*formatSet, error) {
	if c.FormatsPath != "" {
		if err := s.deps.Trusted.CheckTree(c.FormatsPath, ".toml"); err != nil {
			s.reasons.Set(topicFormats, fmt.Sprintf("formats_path: %v", err))
			return nil, err
		}
	}
	set, err := loadFormats(c)
	if err != nil {
		s.reasons.Set(topicFormats, err.Error())
		return nil, err
	}
	if n := len(set.problems.All); n > 0 {
		s.reasons.Set(topicFormats, fmt.Sprintf("%d mistakes in files of formats, which are left out, among them %s", n, tomlfile.SortByPosition(set.problems.All)[0]))
	}
	return set, nil
}
