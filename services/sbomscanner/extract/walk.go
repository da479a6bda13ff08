package extract

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// maxPath is Linux's PATH_MAX.
const maxPath = 4096

// maxDirEntries bounds the memory for one folder's names.
const maxDirEntries = 200_000

// walker visits the regular files of a folder. It follows no link, so that it ends and stays inside.
type walker struct {
	scan *scan
	root *os.Root
	dir  string          // absolute path of the root
	skip map[string]bool // folders and files not to read, relative to the root

	cache   *Cache          // may be nil
	seen    map[string]bool // files that are or may be in the cache
	settled time.Duration   // how long a file must have been unchanged to be put there

	until int // how many files may have been visited at the end of the top-level folder
}

// errShare ends the walk of a top-level folder that has too many files.
var errShare = errors.New("folder has more files than its share of the limit")

// relativeTo returns those of paths that are dir or below it, relative to it, with slashes.
func relativeTo(dir string, paths []string) map[string]bool {
	skip := map[string]bool{}
	for _, path := range paths {
		if rel, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(rel) {
			skip[filepath.ToSlash(rel)] = true
		}
	}
	if dir == string(filepath.Separator) {
		for _, pseudo := range []string{"proc", "sys", "dev"} {
			skip[pseudo] = true
		}
	}
	return skip
}

func (w *walker) walk() error {
	err := w.folder(".", nil, w.scan.extractor.exclude)
	if errors.Is(err, fs.SkipAll) {
		return nil
	}
	if err == nil && w.cache != nil {
		w.cache.keep(w.dir, w.seen)
	}
	return err
}

// folder reads the folder called name, whose path elements are given, with the patterns of the folders above.
func (w *walker) folder(name string, elements []string, patterns []ignorePattern) error {
	if len(elements) > w.scan.limits.Depth {
		w.scan.skip(name, tooDeep, "folder is deeper than the limit")
		return nil
	}
	entries, err := w.entries(name)
	if err != nil {
		if name == "." {
			return err
		}
		w.scan.skip(name, unreadable, reasonOf(err))
		return nil
	}
	patterns = w.withIgnoreFile(name, elements, patterns, entries)
	for _, entry := range entries {
		if err := w.entry(name, elements, patterns, entry); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) entry(folder string, elements []string, patterns []ignorePattern, entry fs.DirEntry) error {
	name := path.Join(folder, entry.Name())
	if !w.scan.visited() {
		return w.stop(name)
	}
	if folder != "." && w.scan.progress.Visited > w.until {
		return errShare
	}
	elements = append(slices.Clip(elements), entry.Name())
	switch {
	case entry.IsDir():
		if w.skip[name] || ignored(patterns, elements, true) {
			return nil
		}
		if folder == "." {
			return w.topFolder(name, elements, patterns)
		}
		return w.folder(name, elements, patterns)
	case entry.Type().IsRegular():
		if !w.skip[name] && !ignored(patterns, elements, false) {
			w.file(name, entry)
		}
	}
	return nil
}

// topFolder reads a folder of the root in its share of the limits, so that nobody keeps the folders behind his from being read.
func (w *walker) topFolder(name string, elements []string, patterns []ignorePattern) error {
	whole, limits := w.scan.ctx, w.scan.limits
	ctx, cancel := context.WithTimeout(whole, limits.Time/3*2)
	defer cancel()
	w.scan.ctx, w.until = ctx, w.scan.progress.Visited+limits.Files-limits.Files/4
	err := w.folder(name, elements, patterns)
	w.scan.ctx = whole
	switch {
	case whole.Err() != nil:
		return whole.Err()
	case ctx.Err() != nil:
		w.scan.skip(name, tookTooLong, "more time than its share of the limit; not read completely")
		return nil
	case errors.Is(err, errShare):
		w.scan.skip(name, tooMany, err.Error()+"; the rest was not read")
		return nil
	}
	return err
}

// stop returns the error that ends the walk. Too many files end it without one, and anything may be in what is left.
func (w *walker) stop(name string) error {
	if err := w.scan.ctx.Err(); err != nil {
		return err
	}
	w.scan.skip("", tooMany, "more files than the limit; not read from here on: "+name)
	return fs.SkipAll
}

func (w *walker) entries(name string) ([]fs.DirEntry, error) {
	folder, err := w.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = folder.Close() }() // only read
	entries, err := folder.ReadDir(maxDirEntries)
	if len(entries) == maxDirEntries {
		w.scan.skip(name, tooMany, "folder has more entries than the limit; the rest was not read")
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	if err != nil && !errors.Is(err, errEndOfFolder) {
		if len(entries) == 0 {
			return nil, err
		}
		w.scan.skip(name, unreadable, "only a part of the folder can be listed: "+reasonOf(err))
	}
	return entries, nil
}

func (w *walker) withIgnoreFile(folder string, elements []string, patterns []ignorePattern, entries []fs.DirEntry) []ignorePattern {
	const name = ".gitignore"
	_, found := slices.BinarySearchFunc(entries, name, func(e fs.DirEntry, n string) int { return strings.Compare(e.Name(), n) })
	if !found || w.scan.extractor.options.NoGitignore {
		return patterns
	}
	file, err := openRegular(w.root, path.Join(folder, name))
	if err != nil {
		return patterns
	}
	defer func() { _ = file.Close() }() // only read
	own := readIgnore(file, slices.Clone(elements))
	if len(patterns)+len(own) > maxIgnorePatterns {
		w.scan.skip(path.Join(folder, name), tooMany, "more patterns in force than the limit; it was not applied")
		return patterns
	}
	return append(slices.Clip(patterns), own...)
}

// reasonOf is what failed, without the path, which a problem has already.
func reasonOf(err error) string {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Op + ": " + p.Err.Error()
	}
	return err.Error()
}
