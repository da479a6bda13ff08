package logpipeline

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/rules"
	"github.com/ironpost/ironpost/sigma"
)

// maxRuleFiles bounds how many files below rules_path are read.
const maxRuleFiles = 20_000

// ruleSet is the rules in use and the errors of the files that were left out.
type ruleSet struct {
	*sigma.RuleSet

	origin   string // where the rules are from, for messages
	missing  bool   // rules_path could not be read; there are no rules
	problems []error
	digests  map[string]uint64 // of the files of rules, by title
	own      map[string]bool   // titles of rules that are not shipped
}

// shippedOrigin is the origin of the shipped rules.
const shippedOrigin = "shipped"

// count returns how many rules and correlations are in use.
func (r *ruleSet) count() int { return len(r.Rules()) + len(r.Correlations()) }

// reasons returns why the module is degraded because of its rules. Missing rules have a health topic of their
// own.
func (r *ruleSet) reasons() []string {
	var out []string
	if n := len(r.problems); n > 0 {
		first, _, _ := strings.Cut(r.problems[0].Error(), "\n")
		out = append(out, fmt.Sprintf("%d rule files not loaded, among them %s", n, first))
	}
	if r.count() == 0 && !r.missing {
		out = append(out, "no rule is in use: no alert can be raised")
	}
	return out
}

// wants reports whether any rule may match events of l.
func (r *ruleSet) wants(l sigma.Logsource) bool {
	return slices.ContainsFunc(r.Rules(), func(rule *sigma.Rule) bool { return !rule.Logsource.Conflicts(l) })
}

// loadRules compiles the rules in the file or folder of c.RulesPath and the shipped ones, if c wants them. A rule of one's own takes the
// place of a shipped one that has its id or name. Invalid files are left out and named in problems. It returns an error if rules_path
// itself cannot be read.
func loadRules(c Config) (*ruleSet, error) {
	set := &ruleSet{origin: cmp.Or(c.RulesPath, shippedOrigin), digests: map[string]uint64{}}
	own, err := set.readPath(c.RulesPath)
	if err != nil {
		return nil, fmt.Errorf("rules_path: %w", err)
	}
	files := own
	if c.ShippedRules {
		shipped, err := set.readFiles(rules.FS, ".", shippedOrigin)
		if err != nil {
			return nil, fmt.Errorf("shipped rules: %w", err)
		}
		files = append(withoutReplaced(shipped, own), own...)
	}
	if err := set.compileTogether(files); err != nil {
		return nil, err
	}
	for _, f := range files {
		for _, d := range f.docs {
			set.digests[cmp.Or(metaOf(d).Title, f.name)] = f.digest
		}
	}
	set.own = titlesOf(own)
	return set, nil
}

// readPath parses the file or folder location; "" holds nothing.
func (r *ruleSet) readPath(location string) ([]ruleFile, error) {
	if location == "" {
		return nil, nil
	}
	info, err := os.Stat(location)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return r.readFiles(os.DirFS(location), ".", location)
	}
	return r.readFiles(os.DirFS(filepath.Dir(location)), filepath.Base(location), location)
}

// noRules returns the rule set to use while location cannot be read.
func noRules(location string) (*ruleSet, error) {
	set, err := sigma.Compile(nil, sigma.Options{})
	return &ruleSet{RuleSet: set, origin: location, missing: true}, err
}

// ruleFile is a rule file that was parsed.
type ruleFile struct {
	name   string
	docs   []sigma.Document
	digest uint64 // of its text
}

// readFiles parses the files below root. Those that are no rules are noted in problems.
func (r *ruleSet) readFiles(fsys fs.FS, root, origin string) ([]ruleFile, error) {
	names, err := ruleNames(fsys, root)
	if err != nil {
		return nil, err
	}
	var files []ruleFile
	for _, name := range names {
		file := ruleFile{name: displayName(origin, root, name)}
		if file.docs, file.digest, err = parseRules(fsys, name, file.name); err != nil {
			r.problems = append(r.problems, err)
			continue
		}
		files = append(files, file)
	}
	return files, nil
}

// withoutReplaced returns shipped without the documents whose id or name one of own has.
func withoutReplaced(shipped, own []ruleFile) []ruleFile {
	replaced := map[string]bool{}
	for _, f := range own {
		for _, d := range f.docs {
			m := metaOf(d)
			replaced["id "+m.ID], replaced["name "+m.Name] = true, true
		}
	}
	delete(replaced, "id ")
	delete(replaced, "name ")
	for i := range shipped {
		shipped[i].docs = slices.DeleteFunc(shipped[i].docs, func(d sigma.Document) bool {
			m := metaOf(d)
			return replaced["id "+m.ID] || replaced["name "+m.Name]
		})
	}
	return shipped
}

// metaOf returns the attributes of a document.
func metaOf(d sigma.Document) sigma.Meta {
	switch {
	case d.Rule != nil:
		return d.Rule.Meta
	case d.Correlation != nil:
		return d.Correlation.Meta
	case d.Filter != nil:
		return d.Filter.Meta
	}
	return sigma.Meta{}
}

// displayName returns how errors name a file: by its full path if it has one.
func displayName(origin, root, name string) string {
	switch {
	case origin == shippedOrigin:
		return path.Join("rules", name)
	case root != ".":
		return origin
	}
	return filepath.Join(origin, filepath.FromSlash(name))
}

// ruleNames returns the YAML files below root, in order. A folder testdata holds samples, not rules.
func ruleNames(fsys fs.FS, root string) ([]string, error) {
	var names []string
	err := fs.WalkDir(fsys, root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "testdata":
			return fs.SkipDir
		case d.IsDir(), name != root && path.Ext(name) != ".yml" && path.Ext(name) != ".yaml":
			return nil
		case len(names) >= maxRuleFiles:
			return fmt.Errorf("more than %d rule files", maxRuleFiles)
		}
		names = append(names, name)
		return nil
	})
	return names, err
}

func parseRules(fsys fs.FS, name, shown string) (docs []sigma.Document, digest uint64, err error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, 0, fileError(shown, err.Error())
	}
	if !info.Mode().IsRegular() || info.Size() > sigma.MaxFileSize {
		return nil, 0, fileError(shown, fmt.Sprintf("not a regular file of at most %d bytes", sigma.MaxFileSize))
	}
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, 0, fileError(shown, err.Error())
	}
	hash := fnv.New64a()
	_, _ = hash.Write(data)
	docs, err = sigma.Parse(shown, data)
	return docs, hash.Sum64(), err
}

// fileError is an error about a whole file: it is at the file's start, as those of sigma.Parse are.
func fileError(shown, message string) error {
	return &sigma.ParseError{File: shown, Line: 1, Column: 1, Message: message}
}

// compileTogether compiles files into one set. Errors that appear only when files are combined, such as an id
// used twice, cost the files they name; the others are compiled again without these.
func (r *ruleSet) compileTogether(files []ruleFile) error {
	for {
		var docs []sigma.Document
		for _, f := range files {
			docs = append(docs, f.docs...)
		}
		set, err := sigma.Compile(docs, sigma.Options{Limits: sigma.Limits{MaxSamples: event.MaxEvidence}})
		if err == nil {
			r.RuleSet = set
			return nil
		}
		bad := problemsByFile(err)
		kept := files[:0:0]
		for _, f := range files {
			if problem, ok := bad[f.name]; ok {
				r.problems = append(r.problems, problem)
				continue
			}
			kept = append(kept, f)
		}
		if len(kept) == len(files) {
			return fmt.Errorf("compile rules of %s: %w", r.origin, err)
		}
		files = kept
	}
}

// problemsByFile returns the errors of every file that err names, joined.
func problemsByFile(err error) map[string]error {
	out := map[string]error{}
	var walk func(error)
	walk = func(err error) {
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			for _, e := range joined.Unwrap() {
				walk(e)
			}
			return
		}
		if problem, ok := errors.AsType[*sigma.ParseError](err); ok {
			out[problem.File] = errors.Join(out[problem.File], problem)
		}
	}
	walk(err)
	return out
}
