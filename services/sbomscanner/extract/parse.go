package extract

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/google/osv-scalibr/extractor/filesystem"
	scalibrfs "github.com/google/osv-scalibr/fs"
	scalibr "github.com/google/osv-scalibr/inventory"
	"github.com/google/osv-scalibr/plugin"
	"github.com/google/osv-scalibr/stats"

	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/sbomscanner/extract/java"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// candidate is a file that parsers may want. It implements scalibr's FileAPI.
type candidate struct {
	name string
	stat func() (fs.FileInfo, error)
}

func (c candidate) Path() string               { return c.name }
func (c candidate) Stat() (fs.FileInfo, error) { return c.stat() }

// parsed is what one file gave.
type parsed struct {
	packages []inventory.Package
	reason   string // why it was not read, or only in part; empty if it was
	detail   string
	looked   map[string]fs.FileInfo
}

// parse runs the parsers on one file of the tree.
func (s *scan) parse(t tree, name string, parsers []parser) parsed {
	s.progress.Path = name
	s.progress.Parsed++
	whole := !allAtOffsets(parsers)
	v := newView(s.ctx, t, name, whole, s.limits)
	defer v.close()
	var found scalibr.Inventory
	var statuses []*plugin.Status
	err := task.Call(s.ctx, name, func(ctx context.Context) (err error) {
		found, statuses, err = filesystem.Run(ctx, &filesystem.Config{
			Extractors:     extractorsOf(parsers),
			ScanRoots:      []*scalibrfs.ScanRoot{{FS: v}},
			PathsToExtract: []string{name},
			Stats:          stats.NoopCollector{},
		})
		return err
	})
	result := parsed{packages: convert(found.Packages, name), looked: v.looked}
	result.reason, result.detail = outcome(err, v.failure, statuses)
	return result
}

// outcome returns why a file was not read, and that in words.
func outcome(err, failure error, statuses []*plugin.Status) (reason, detail string) {
	panicked := (*task.PanicError)(nil)
	switch {
	case errors.As(err, &panicked):
		return failed, fmt.Sprintf("parser failed: %v", panicked.Value)
	case errors.Is(failure, errTooLarge):
		return tooLarge, failure.Error()
	case errors.Is(failure, errTooComplex):
		return tooComplex, failure.Error()
	case errors.Is(failure, errTooMany):
		return tooMany, failure.Error()
	case errors.Is(failure, java.ErrTooLarge):
		return decompression, failure.Error()
	case err != nil:
		return malformed, err.Error()
	}
	for _, status := range statuses {
		if message := failureOf(status); message != "" {
			return malformed, message
		}
	}
	return "", ""
}

func failureOf(status *plugin.Status) string {
	if status.Status == nil || status.Status.Status == plugin.ScanStatusSucceeded {
		return ""
	}
	for _, e := range status.Status.FileErrors {
		return status.Name + ": " + e.ErrorMessage
	}
	return status.Name + ": " + status.Status.FailureReason
}

// file reads one file of the folder if a parser wants it.
func (w *walker) file(name string, entry fs.DirEntry) {
	parsers := w.scan.extractor.parsersOf(candidate{name, entry.Info})
	if len(parsers) == 0 {
		return
	}
	info, err := entry.Info()
	if err != nil {
		w.scan.skip(name, unreadable, reasonOf(err))
		return
	}
	before := len(w.scan.result.Packages)
	if w.cache == nil {
		w.scan.take(name, w.scan.read(folderTree{w.root}, name, info.Size(), parsers))
	} else {
		w.cached(name, info, parsers)
	}
	if len(w.scan.result.Packages) > before {
		w.scan.modified(info.ModTime())
	}
}

// cached takes the packages of a file from the cache, or parses it and puts them there.
func (w *walker) cached(name string, info fs.FileInfo, parsers []parser) {
	key, before := cacheKey{w.dir, name}, stampOf(info)
	w.seen[name] = true
	if entry, ok := w.cache.get(key, before, w.stampOf); ok {
		w.scan.progress.Cached++
		w.scan.take(name, parsed{packages: entry.Packages, reason: entry.Reason, detail: entry.Detail})
		return
	}
	began := time.Now()
	result := w.scan.read(folderTree{w.root}, name, info.Size(), parsers)
	w.scan.take(name, result)
	looked := map[string]stamp{}
	for other, info := range result.looked {
		looked[other] = stampOf(info)
	}
	if result.reason != "" && result.reason != malformed {
		return // what a limit or the system refused may be allowed next time
	}
	if w.scan.ctx.Err() == nil && w.unchanged(name, before, looked, began.Add(-w.settled)) {
		w.cache.put(key, cacheEntry{Stamp: before, Looked: looked, Packages: result.packages, Reason: result.reason, Detail: result.detail})
	}
}

// unchanged reports whether the files are still as they were, and had been so for long enough before they were read
// for a later change to show.
func (w *walker) unchanged(name string, before stamp, looked map[string]stamp, settled time.Time) bool {
	now, err := w.root.Lstat(name)
	if err != nil || before == (stamp{}) || stampOf(now) != before || before.Changed >= settled.UnixNano() {
		return false
	}
	for other, before := range looked {
		if w.stampOf(other) != before || before.Changed >= settled.UnixNano() {
			return false
		}
	}
	return true
}

func (w *walker) stampOf(name string) stamp {
	info, err := w.root.Stat(name)
	if err != nil {
		return stamp{}
	}
	return stampOf(info)
}

// read parses one file if it is not too large.
func (s *scan) read(t tree, name string, size int64, parsers []parser) parsed {
	limit := s.limits.TextBytes
	if allAtOffsets(parsers) {
		limit = s.limits.BinaryBytes
	}
	if size > limit {
		return parsed{reason: tooLarge, detail: fmt.Sprintf("has %d bytes; the limit is %d", size, limit)}
	}
	if onlyPrograms(parsers) && !beginsAsProgram(t, name) {
		return parsed{}
	}
	return s.parse(t, name, parsers)
}

// take adds what one file gave. What is wrong with it becomes a problem.
func (s *scan) take(name string, result parsed) {
	if result.reason != "" && s.ctx.Err() == nil {
		s.skip(name, result.reason, result.detail)
	}
	s.add(result.packages)
}
