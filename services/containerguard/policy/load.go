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

// The bounds of a folder.
const (
	maxFiles = 1000
	maxBytes = 1 << 20 // of one file
)

// Load reads a policy file, or every *.toml of a folder in the order of names;
// folders below it and hidden files are left out. It returns an *Error with every
// mistake, or an error that wraps fs.ErrNotExist if nothing is there. A link is
// followed within the folder only.
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
	return loadAll(root, folder, names)
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

func loadAll(root *os.Root, folder string, names []string) (*Set, error) {
	var found problemList
	var policies []*Policy
	var warnings []Problem
	for _, name := range names {
		path := filepath.Join(folder, name)
		data, err := readFile(root, name)
		if err != nil {
			found.add(Problem{Position: Position{File: path}, What: err.Error()})
			continue
		}
		f := decode(path, data, &found)
		policies, warnings = append(policies, f.policies...), append(warnings, f.warnings...)
	}
	checkUniqueIDs(policies, &found)
	if len(policies) > maxPerSet {
		found.add(Problem{Position: Position{File: folder}, What: fmt.Sprintf("%d policies, allowed are %d", len(policies), maxPerSet)})
	}
	if err := found.err(); err != nil {
		return nil, err
	}
	set := newSet(policies)
	set.Files, set.Warnings = len(names), sortByPosition(append(warnings, unreachable(set)...))
	return set, nil
}

// checkUniqueIDs refuses an id that was used before.
func checkUniqueIDs(policies []*Policy, found *problemList) {
	first := map[string]Position{}
	for _, p := range policies {
		if at, twice := first[p.ID]; twice && p.ID != "" {
			found.add(Problem{Position: p.Position, Key: policyHeader + ".id", What: fmt.Sprintf("%q is also the id of the policy at %s, must be unique", p.ID, at)})
			continue
		}
		first[p.ID] = p.Position
	}
}

// unreachable warns of policies that cannot be reached because one before them takes
// every alert.
func unreachable(s *Set) []Problem {
	var out []Problem
	var catchall *Policy
	for _, p := range s.Policies {
		if !p.Enabled {
			continue
		}
		if catchall != nil && p.Match.Severity >= catchall.Match.Severity {
			out = append(out, Problem{Position: p.Position, Key: policyHeader, What: fmt.Sprintf("%q is never reached: %q goes first and takes every alert of that severity", p.ID, catchall.ID)})
		}
		if catchall == nil && p.Match.matchesAnyAlert() && !p.Continue && p.Require.Alerts < 2 {
			catchall = p
		}
	}
	return out
}

// matchesAnyAlert reports whether m asks nothing but a severity.
func (m Match) matchesAnyAlert() bool {
	return len(m.Rules)+len(m.Tags)+len(m.Modules)+len(m.Vulnerabilities) == 0 && !m.AboutContainer()
}

var errWorldWritable = errors.New("may be written by everyone, who could make the guard act: chmod o-w")

// readFile returns the content of a regular file that only its owner and group change.
func readFile(root *os.Root, name string) ([]byte, error) {
	info, err := root.Stat(name)
	if err != nil {
		return nil, withoutPath(err)
	}
	if !info.Mode().IsRegular() { // before it is opened: a FIFO would wait for its writer
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
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err == nil && len(data) > maxBytes {
		err = fmt.Errorf("is larger than %d bytes", maxBytes)
	}
	return data, err
}

// withoutPath leaves the path out, which stands before it.
func withoutPath(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("cannot be read: %w", p.Err)
	}
	return err
}
