package sbomscanner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/ironpost/ironpost/internal/task"
)

const (
	// maxWatches bounds the watched folders; the system allows 8192 to some millions for all programs of a user.
	maxWatches = 20_000
	// quiet is how long nothing must change before a folder is scanned, longest the most that a change waits.
	quiet   = time.Second
	longest = 15 * time.Second
	// rewatch is how long to wait before a watch that failed is set up again.
	rewatch = time.Minute
)

// watcher tells the loop which of the scanned folders have changed. What it misses is found by the scans at an interval.
type watcher struct {
	s       *Service
	skip    []string // folders that are not watched
	changed chan string
	ready   chan struct{} // closed once what can be watched is watched, or nothing can be

	roots  map[string]os.FileInfo // the folders that are watched, of those to scan
	missed bool                   // ready is closed: a folder that is not watched may have changed since

	watched int       // folders, or more
	counted time.Time // the last time
}

func newWatcher(s *Service) *watcher {
	return &watcher{s: s, skip: []string{s.deps.DataDir, s.cfg.VulnDBPath}, changed: make(chan string), ready: make(chan struct{})}
}

// run watches until ctx ends.
func (w *watcher) run(ctx context.Context) error {
	for ctx.Err() == nil {
		err := w.watch(ctx)
		w.setReady()
		if ctx.Err() != nil {
			return nil
		}
		w.s.reasons.Remark(topicWatch, fmt.Sprintf("scan_dirs are not watched, changes are found every %d h: %v", w.s.cfg.ScanIntervalHours, err))
		task.Pause(ctx, rewatch)
	}
	return nil
}

func (w *watcher) setReady() {
	if !w.missed {
		w.missed = true
		close(w.ready)
	}
}

// pendingChange is a folder that has changed: first and last time.
type pendingChange struct{ first, last time.Time }

// watch watches until ctx ends or the system refuses.
func (w *watcher) watch(ctx context.Context) (err error) {
	n, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	w.s.reasons.Clear(topicWatch)
	w.watched = 0
	pending := map[string]*pendingChange{}
	w.roots = map[string]os.FileInfo{}
	w.watchRoots(ctx, n, pending)
	w.setReady()
	timer := time.NewTicker(quiet / 4)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, open := <-n.Events:
			if !open {
				return errors.New("watch ended")
			}
			w.note(ctx, n, e, pending)
		case err, open := <-n.Errors:
			if !open || !errors.Is(err, fsnotify.ErrEventOverflow) {
				return errors.Join(errors.New("watch failed"), err)
			}
			for _, dir := range w.s.dirs { // events were lost
				note(pending, dir)
			}
			clear(w.roots) // also those of new folders
		case <-timer.C:
			w.watchRoots(ctx, n, pending)
			if err := w.send(ctx, pending); err != nil {
				return nil //nolint:nilerr // ctx has ended
			}
		}
	}
}

// watchRoots watches each folder to scan that is not watched, or is another one than before: it was missing, was replaced, or is a
// link that points elsewhere now.
func (w *watcher) watchRoots(ctx context.Context, n *fsnotify.Watcher, pending map[string]*pendingChange) {
	for _, dir := range w.s.dirs {
		info, err := os.Stat(dir)
		if err != nil || !info.IsDir() {
			continue // a problem of the scan
		}
		before, watched := w.roots[dir]
		if watched && os.SameFile(before, info) {
			continue
		}
		for _, path := range n.WatchList() {
			if within(path, dir) {
				_ = n.Remove(path) // of the folder before; it may be gone
			}
		}
		w.roots[dir] = info
		w.sayUnwatched(w.add(ctx, n, strings.TrimSuffix(dir, "/")+"/")) // so a link is followed, here alone
		if w.missed {
			note(pending, dir)
		}
	}
}

// within reports whether path is dir or below it.
func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// note notes an event, and watches a folder that is new.
func (w *watcher) note(ctx context.Context, n *fsnotify.Watcher, e fsnotify.Event, pending map[string]*pendingChange) {
	if e.Op == fsnotify.Chmod {
		return
	}
	for _, dir := range w.s.dirs {
		if within(e.Name, dir) {
			note(pending, dir)
		}
		if e.Name == dir && (e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename)) {
			delete(w.roots, dir)
		}
	}
	if e.Has(fsnotify.Create) {
		if info, err := os.Lstat(e.Name); err == nil && info.IsDir() {
			w.sayUnwatched(w.add(ctx, n, e.Name))
		}
	}
}

func note(pending map[string]*pendingChange, dir string) {
	now := time.Now()
	if p := pending[dir]; p != nil {
		p.last = now
		return
	}
	pending[dir] = &pendingChange{now, now}
}

// send sends the folders that have been quiet, or have waited long enough.
func (w *watcher) send(ctx context.Context, pending map[string]*pendingChange) error {
	now := time.Now()
	for _, dir := range sortedKeys(pending) {
		p := pending[dir]
		if now.Sub(p.last) < quiet && now.Sub(p.first) < longest {
			continue
		}
		delete(pending, dir)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case w.changed <- dir:
		}
	}
	return nil
}

// add watches a folder and those below it, and returns how many there was no room for.
func (w *watcher) add(ctx context.Context, n *fsnotify.Watcher, dir string) (left int) {
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error { // what cannot be read is a problem of the scan
		path = filepath.Clean(path)
		switch {
		case ctx.Err() != nil:
			return fs.SkipAll
		case err != nil:
			return fs.SkipDir
		case !entry.IsDir():
			return nil
		case entry.Name() == ".git" || slices.Contains(w.skip, path):
			return fs.SkipDir
		case !w.room(n):
			left++
			return fs.SkipDir
		}
		if err := n.Add(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			left++
			return fs.SkipDir
		}
		w.watched++
		return nil
	})
	return left
}

// room reports whether another folder may be watched. To count them takes as long as there are many: whoever makes folders must not
// have it done for each.
func (w *watcher) room(n *fsnotify.Watcher) bool {
	if now := time.Now(); w.watched >= maxWatches && now.Sub(w.counted) > time.Second {
		w.watched, w.counted = len(n.WatchList()), now // fewer where some were removed
	}
	return w.watched < maxWatches
}

// sayUnwatched reports folders that are not watched.
func (w *watcher) sayUnwatched(left int) {
	if left > 0 {
		w.s.reasons.Remark(topicWatch, fmt.Sprintf("not every folder is watched (the limit is %d, or that of the system), changes in the others are found every %d h",
			maxWatches, w.s.cfg.ScanIntervalHours))
	}
}
