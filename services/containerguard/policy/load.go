package policy

import (
	"fmt"

	"github.com/ironpost/ironpost/internal/tomlfile"
)

const maxPerSet = 1000 // policies

// Load reads a policy file, or every *.toml of a folder in the order of names, but not
// hidden files and folders below it. A link is followed within the folder only. It
// returns an *Error with every problem, or an error that wraps fs.ErrNotExist if path
// does not exist.
func Load(path string) (*Set, error) {
	var problems tomlfile.Problems
	files, err := tomlfile.Read(path, &problems)
	if err != nil {
		return nil, fmt.Errorf("policies: %w", err)
	}
	return decodeFiles(path, files, problems)
}

// decodeFiles returns the set of files, which are of path and were read with problems.
func decodeFiles(path string, files []tomlfile.File, problems tomlfile.Problems) (*Set, error) {
	var policies []*Policy
	var warnings, mistakes []Problem
	var patterns []pattern
	for _, file := range files {
		f := decode(file.Path, file.Data, &problems)
		policies, warnings = append(policies, f.policies...), append(warnings, f.warnings.All...)
		mistakes, patterns = append(mistakes, f.mistakes.All...), append(patterns, f.patterns...)
	}
	checkUniqueIDs(policies, &problems)
	if len(policies) > maxPerSet {
		problems.Add(Position{File: path}, "", "%d policies, allowed are %d", len(policies), maxPerSet)
	}
	if err := problems.Err(); err != nil {
		return nil, err
	}
	set := newSet(policies)
	set.Files, set.Warnings = len(files), tomlfile.SortByPosition(append(warnings, unreachable(set)...))
	set.Mistakes, set.patterns = tomlfile.SortByPosition(mistakes), patterns
	return set, nil
}

func checkUniqueIDs(policies []*Policy, problems *tomlfile.Problems) {
	first := map[string]Position{}
	for _, p := range policies {
		if at, used := first[p.ID]; used && p.ID != "" {
			problems.Add(p.Position, policyHeader+".id", "%q is also the id of the policy at %s, must be unique", p.ID, at)
			continue
		}
		first[p.ID] = p.Position
	}
}

// unreachable warns of policies that are never evaluated because one before them applies
// to every alert.
func unreachable(s *Set) []Problem {
	var warnings tomlfile.Problems
	var catchall *Policy
	for _, p := range s.Enabled() {
		switch {
		case catchall != nil && p.Match.Severity >= catchall.Match.Severity:
			warnings.Add(p.Position, policyHeader, "%q is never reached: %q is evaluated first and applies to every alert of that severity", p.ID, catchall.ID)
		case catchall == nil && p.Match.anyAlert() && !p.Continue && p.Require.Alerts < 2:
			catchall = p
		}
	}
	return warnings.All
}
