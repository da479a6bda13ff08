package logpipeline

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/rules"
	"github.com/ironpost/ironpost/sigma"
)

// maxRuleFiles bounds what is read below rules_path.
const maxRuleFiles = 20_000

// rulebook is the rules in force, and what was wrong with the others.
type rulebook struct {
	set    *sigma.RuleSet
	from   string // for people: where the rules are from
	absent bool   // they could not be read
	faults []error
}

// count is how many rules and correlations are in force.
func (b *rulebook) count() int { return len(b.set.Rules()) + len(b.set.Correlations()) }

// trouble names the files that were left out, "" if none was.
func (b *rulebook) trouble() string {
	if len(b.faults) == 0 {
		return ""
	}
	first, _, _ := strings.Cut(b.faults[0].Error(), "\n")
	return fmt.Sprintf("%d rule files not loaded, among them %s", len(b.faults), first)
}

// loadRules compiles the rules below location, which is a file or a folder, or the
// shipped ones if it is empty. Bad files are left out and named in faults. The
// error says that location itself cannot be read.
func loadRules(location string) (*rulebook, error) {
	if location == "" {
		return compile(rules.FS, ".", "shipped")
	}
	info, err := os.Stat(location)
	if err != nil {
		return nil, fmt.Errorf("rules_path: %w", err)
	}
	if info.IsDir() {
		return compile(os.DirFS(location), ".", location)
	}
	return compile(os.DirFS(filepath.Dir(location)), filepath.Base(location), location)
}

// noRules is the rulebook while location cannot be read.
func noRules(location string) (*rulebook, error) {
	set, err := sigma.Compile(nil, sigma.Options{})
	return &rulebook{set: set, from: location, absent: true}, err
}

// ruleFile is a file of rules that parsed.
type ruleFile struct {
	name string
	docs []sigma.Document
}

func compile(fsys fs.FS, root, from string) (*rulebook, error) {
	book := &rulebook{from: from}
	names, err := ruleNames(fsys, root)
	if err != nil {
		return nil, fmt.Errorf("rules_path: %w", err)
	}
	var files []ruleFile
	for _, name := range names {
		shown := shownName(from, root, name)
		docs, err := parseRules(fsys, name, shown)
		if err != nil {
			book.faults = append(book.faults, err)
			continue
		}
		files = append(files, ruleFile{name: shown, docs: docs})
	}
	if err := book.link(files); err != nil {
		return nil, err
	}
	return book, nil
}

// shownName is how errors name a file: by its whole path where it has one.
func shownName(from, root, name string) string {
	switch {
	case from == "shipped":
		return path.Join("rules", name)
	case root != ".":
		return from
	}
	return filepath.Join(from, filepath.FromSlash(name))
}

// ruleNames returns the YAML files below root, in order. Samples beside rules are
// not rules.
func ruleNames(fsys fs.FS, root string) ([]string, error) {
	var names []string
	err := fs.WalkDir(fsys, root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "testdata":
			return fs.SkipDir
		case d.IsDir(), name != root && !isYAML(name):
			return nil
		case len(names) >= maxRuleFiles:
			return fmt.Errorf("more than %d rule files", maxRuleFiles)
		}
		names = append(names, name)
		return nil
	})
	return names, err
}

func isYAML(name string) bool {
	return strings.HasSuffix(name, ".yml") || strings.HasSuffix(name, ".yaml")
}

func parseRules(fsys fs.FS, name, shown string) ([]sigma.Document, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", shown, err)
	}
	if !info.Mode().IsRegular() || info.Size() > sigma.MaxFileSize {
		return nil, fmt.Errorf("%s: not a regular file of at most %d bytes", shown, sigma.MaxFileSize)
	}
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", shown, err)
	}
	docs, err := sigma.Parse(shown, data)
	if err != nil {
		return nil, err
	}
	return docs, levels(docs)
}

// levels refuses a level the alert could not carry.
func levels(docs []sigma.Document) error {
	for _, d := range docs {
		m := metaOf(d)
		if m == nil || m.Level == "" {
			continue
		}
		if _, err := event.ParseSeverity(m.Level); err != nil {
			return &sigma.ParseError{File: m.Source.File, Line: m.Source.Line, Column: m.Source.Column, Message: "level: " + err.Error()}
		}
	}
	return nil
}

func metaOf(d sigma.Document) *sigma.Meta {
	switch {
	case d.Rule != nil:
		return &d.Rule.Meta
	case d.Correlation != nil:
		return &d.Correlation.Meta
	}
	return nil
}

// link compiles files together. What is wrong only in company, such as an id used
// twice, costs the files that are named for it; the others are tried again.
func (b *rulebook) link(files []ruleFile) error {
	for {
		var docs []sigma.Document
		for _, f := range files {
			docs = append(docs, f.docs...)
		}
		set, err := sigma.Compile(docs, sigma.Options{Limits: sigma.Limits{MaxSamples: event.MaxEvidence}})
		if err == nil {
			b.set = set
			return nil
		}
		bad := filesIn(err)
		kept := files[:0:0]
		for _, f := range files {
			if fault, ok := bad[f.name]; ok {
				b.faults = append(b.faults, fault)
				continue
			}
			kept = append(kept, f)
		}
		if len(kept) == len(files) {
			return fmt.Errorf("compile rules of %s: %w", b.from, err)
		}
		files = kept
	}
}

// filesIn returns the first fault of every file that err names.
func filesIn(err error) map[string]error {
	out := map[string]error{}
	var walk func(error)
	walk = func(err error) {
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			for _, e := range joined.Unwrap() {
				walk(e)
			}
			return
		}
		var fault *sigma.ParseError
		if errors.As(err, &fault) && out[fault.File] == nil {
			out[fault.File] = fault
		}
	}
	walk(err)
	return out
}
