package policy

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	maxFiles     = 1000 // in a folder
	maxFileBytes = 1 << 20
	maxPerSet    = 1000 // policies
)

// Load reads a policy file, or every *.toml of a folder in the order of names, but not
// hidden files and folders below it. A link is followed within the folder only. It
// returns an *Error with every problem, or an error that wraps fs.ErrNotExist if path
// does not exist.
func Load(path string) (*Set, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("policies: %w", err)
	}
	folder, names := path, []string(nil)
	if !info.IsDir() {
		folder, names = filepath.Dir(path), []string{filepath.Base(path)}
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("policies: %w", err)
	}
	defer func() { _ = root.Close() }() // only read
	if names == nil {
		if names, err = listPolicyFiles(root); err != nil {
			return nil, fmt.Errorf("policies of %s: %w", folder, err)
		}
	}
	return loadFiles(root, folder, names)
}

func listPolicyFiles(root *os.Root) ([]string, error) {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".toml") && !strings.HasPrefix(e.Name(), ".") && !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	if len(names) > maxFiles {
		return nil, fmt.Errorf("%d files, allowed are %d", len(names), maxFiles)
	}
	slices.Sort(names)
	return names, nil
}

func loadFiles(root *os.Root, folder string, names []string) (*Set, error) {
	var problems problemList
	var policies []*Policy
	var warnings, mistakes []Problem
	var patterns []pattern
	for _, name := range names {
		path := filepath.Join(folder, name)
		data, err := readFile(root, name)
		if err != nil {
			problems.add(Position{File: path}, "", "%v", err)
			continue
		}
		f := decode(path, data, &problems)
		policies, warnings = append(policies, f.policies...), append(warnings, f.warnings.all...)
		mistakes, patterns = append(mistakes, f.mistakes.all...), append(patterns, f.patterns...)
	}
	checkUniqueIDs(policies, &problems)
	if len(policies) > maxPerSet {
		problems.add(Position{File: folder}, "", "%d policies, allowed are %d", len(policies), maxPerSet)
	}
	if err := problems.err(); err != nil {
		return nil, err
	}
	set := newSet(policies)
	set.Files, set.Warnings = len(names), sortByPosition(append(warnings, unreachable(set)...))
	set.Mistakes, set.patterns = sortByPosition(mistakes), patterns
	return set, nil
}

func checkUniqueIDs(policies []*Policy, problems *problemList) {
	first := map[string]Position{}
	for _, p := range policies {
		if at, used := first[p.ID]; used && p.ID != "" {
			problems.add(p.Position, policyHeader+".id", "%q is also the id of the policy at %s, must be unique", p.ID, at)
			continue
		}
		first[p.ID] = p.Position
	}
}

// unreachable warns of policies that are never evaluated because one before them applies
// to every alert.
func unreachable(s *Set) []Problem {
	var warnings problemList
	var catchall *Policy
	for _, p := range s.Enabled() {
		switch {
		case catchall != nil && p.Match.Severity >= catchall.Match.Severity:
			warnings.add(p.Position, policyHeader, "%q is never reached: %q is evaluated first and applies to every alert of that severity", p.ID, catchall.ID)
		case catchall == nil && p.Match.anyAlert() && !p.Continue && p.Require.Alerts < 2:
			catchall = p
		}
	}
	return warnings.all
}

var errWorldWritable = errors.New("may be written by everyone, so anyone could make the guard act: chmod o-w")

// readFile returns the content of a regular file that only its owner and group may write.
func readFile(root *os.Root, name string) ([]byte, error) {
	info, err := root.Stat(name)
	if err != nil {
		return nil, withoutPath(err)
	}
	if !info.Mode().IsRegular() { // checked before it is opened: a FIFO would wait for a writer
		return nil, errors.New("is not a regular file")
	}
	if info.Mode().Perm()&0o002 != 0 && filepath.Separator == '/' {
		return nil, errWorldWritable
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer func() { _ = f.Close() }() // only read
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err == nil && len(data) > maxFileBytes {
		err = fmt.Errorf("is larger than %d bytes", maxFileBytes)
	}
	return data, err
}

// withoutPath drops the path, which the problem's position has.
func withoutPath(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("cannot be read: %w", p.Err)
	}
	return err
}
