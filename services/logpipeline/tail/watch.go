package tail

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// eventBuffer bounds the events that wait to be handled. More wait in the kernel, and
// when it drops some it says so: then every path is checked.
const eventBuffer = 1024

// watcher reports changes in folders. It is an aid only: without it, and for what it
// misses, there is the poll.
type watcher struct {
	fs      *fsnotify.Watcher // nil: there is none
	folders map[string]bool
	woken   chan struct{}
	err     error // why files are only polled, for the operator
}

// start opens the watcher with the first Read.
func (w *watcher) start() {
	if w.folders != nil {
		return
	}
	w.folders = map[string]bool{}
	w.fs, w.err = fsnotify.NewBufferedWatcher(eventBuffer)
}

// setFolders watches these folders and no others.
func (w *watcher) setFolders(folders map[string]bool) {
	if w.fs == nil {
		return
	}
	w.err = nil
	for dir := range w.folders {
		if !folders[dir] {
			_ = w.fs.Remove(dir) // it may be gone
			delete(w.folders, dir)
		}
	}
	for dir := range folders {
		// Adding again is cheap, and needed when the folder was replaced.
		if err := w.fs.Add(dir); err == nil {
			w.folders[dir] = true
		} else if w.folders[dir] || exists(dir) {
			w.err = err
			delete(w.folders, dir)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (w *watcher) wake() {
	select {
	case w.woken <- struct{}{}:
	default: // it is woken already
	}
}

func (w *watcher) close() error {
	if w.fs == nil {
		return nil
	}
	err := w.fs.Close()
	w.fs = nil
	return err
}

// watchedFolders returns the folders in which something may happen to a followed file,
// and updates byTarget.
func (t *Tailer) watchedFolders() map[string]bool {
	dirs := map[string]bool{}
	for p := range t.seen {
		dirs[filepath.Dir(p)] = true
	}
	t.byTarget = map[string][]*watchedPath{}
	for _, p := range t.order {
		dirs[filepath.Dir(p.path)] = true
		if f := p.current(); f != nil && f.Real != "" && f.Real != p.path {
			dirs[filepath.Dir(f.Real)] = true
			t.byTarget[f.Real] = append(t.byTarget[f.Real], p)
		}
	}
	for dir := range dirs {
		if !exists(dir) {
			delete(dirs, dir)
		}
	}
	return dirs
}

// handleEvents handles the events that are there, without waiting and for no longer than a turn: whoever makes and removes files without
// end must not keep the others from being read.
func (t *Tailer) handleEvents() {
	t.watch.start()
	if t.watch.fs == nil {
		return
	}
	for end := time.Now().Add(turn); time.Now().Before(end); {
		select {
		case ev := <-t.watch.fs.Events:
			t.handleEvent(ev)
		case err := <-t.watch.fs.Errors:
			t.handleWatchError(err)
		default:
			return
		}
	}
	t.readOwnTurns()
}

// readOwnTurns has the paths read that have a turn of their own, whose events wait behind those of others; at most once in ownTurnsEvery.
func (t *Tailer) readOwnTurns() {
	if time.Since(t.ownTurnsRead) < ownTurnsEvery {
		return
	}
	t.ownTurnsRead = time.Now()
	for _, place := range t.turns {
		if p := place.paths[0]; !p.shares() {
			p.contentMayHaveChanged()
		}
	}
}

// wait waits, without the lock, for an event, the next poll, or the end of ctx.
func (t *Tailer) wait(ctx context.Context) {
	until := t.nextPoll
	if !t.nextRelease.IsZero() && t.nextRelease.Before(until) {
		until = t.nextRelease
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	var events chan fsnotify.Event
	var errs chan error
	if t.watch.fs != nil {
		events, errs = t.watch.fs.Events, t.watch.fs.Errors
	}
	var ev fsnotify.Event
	var err error
	t.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-t.watch.woken:
	case ev = <-events:
	case err = <-errs:
	}
	t.mu.Lock()
	t.handleWatchError(err)
	if ev.Name != "" {
		t.handleEvent(ev)
	}
}

// handleWatchError checks every path after events were missed.
func (t *Tailer) handleWatchError(err error) {
	if err != nil {
		t.pollSoon()
	}
}

// handleEvent checks or marks the paths that an event is about.
func (t *Tailer) handleEvent(ev fsnotify.Event) {
	p := t.paths[ev.Name]
	written := ev.Op&^(fsnotify.Write|fsnotify.Chmod) == 0
	switch {
	case written && p != nil:
		if len(p.files) == 0 {
			t.checkPath(p)
		}
		p.contentMayHaveChanged()
	case written:
		for _, p := range t.byTarget[ev.Name] {
			p.contentMayHaveChanged()
		}
	case p != nil:
		t.checkPath(p)
		t.markNewestSpools()
	case ev.Has(fsnotify.Create) && (matchesAny(t.cfg.Paths, ev.Name) || matchesAny(t.cfg.Spools, ev.Name)):
		t.pollSoon()
	}
}
