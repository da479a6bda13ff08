package tail

import (
	"context"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// eventBuffer bounds the changes that wait to be heard. More wait in the kernel,
// and when it drops some it says so: everything is then looked at.
const eventBuffer = 1024

// watch tells of changes in folders. It is an aid only: without it, and for what
// it misses, there is the poll.
type watch struct {
	fs      *fsnotify.Watcher
	folders map[string]bool
	woken   chan struct{}
	err     error // why there is none, for the operator
}

func (w *watch) start() {
	if w.folders != nil {
		return
	}
	w.folders = map[string]bool{}
	w.woken = make(chan struct{}, 1)
	w.fs, w.err = fsnotify.NewBufferedWatcher(eventBuffer)
}

// follow watches these folders and no others.
func (w *watch) follow(folders map[string]bool) {
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
	_, err := look(path)
	return err == nil
}

func (w *watch) wake() {
	select {
	case w.woken <- struct{}{}:
	default: // nobody waits, or is woken already
	}
}

func (w *watch) close() error {
	if w.fs == nil {
		return nil
	}
	err := w.fs.Close()
	w.fs = nil
	return err
}

// folders returns the folders in which something may happen to a followed file.
func (t *Tailer) folders() map[string]bool {
	dirs := map[string]bool{}
	for p := range t.seen {
		dirs[filepath.Dir(p)] = true
	}
	t.byReal = map[string][]*follow{}
	for _, f := range t.order {
		dirs[filepath.Dir(f.path)] = true
		if s := f.current(); s != nil && s.Real != "" && s.Real != f.path {
			dirs[filepath.Dir(s.Real)] = true
			t.byReal[s.Real] = append(t.byReal[s.Real], f)
		}
	}
	for dir := range dirs {
		if !exists(dir) {
			delete(dirs, dir)
		}
	}
	return dirs
}

// hear takes the changes that are known without waiting.
func (t *Tailer) hear() {
	t.watch.start()
	if t.watch.fs == nil {
		return
	}
	for {
		select {
		case ev := <-t.watch.fs.Events:
			t.heard(ev)
		case err := <-t.watch.fs.Errors:
			if err != nil { // something was missed
				t.nextPoll = time.Time{}
			}
		default:
			return
		}
	}
}

// wait waits for a change, the time to look again, or the end of ctx.
func (t *Tailer) wait(ctx context.Context) {
	timer := time.NewTimer(time.Until(t.nextPoll))
	defer timer.Stop()
	var events chan fsnotify.Event
	var errs chan error
	if t.watch.fs != nil {
		events, errs = t.watch.fs.Events, t.watch.fs.Errors
	}
	t.mu.Unlock()
	var ev fsnotify.Event
	again := false
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-t.watch.woken:
	case ev = <-events:
	case err := <-errs:
		again = err != nil
	}
	t.mu.Lock()
	if again {
		t.nextPoll = time.Time{}
	}
	if ev.Name != "" {
		t.heard(ev)
	}
}

// heard marks what a change concerns.
func (t *Tailer) heard(ev fsnotify.Event) {
	f := t.follows[ev.Name]
	if ev.Op&^(fsnotify.Write|fsnotify.Chmod) == 0 {
		t.written(f, ev)
		return
	}
	if f != nil {
		t.check(f)
		t.chain()
		return
	}
	if ev.Has(fsnotify.Create) && (matches(t.cfg.Paths, ev.Name) || matches(t.cfg.Spools, ev.Name)) {
		t.nextPoll = time.Time{}
	}
}

func (t *Tailer) written(f *follow, ev fsnotify.Event) {
	if f != nil {
		if f.current() == nil && len(f.queue) == 0 {
			t.check(f)
		}
		t.touch(f)
		return
	}
	for _, f := range t.byReal[ev.Name] {
		t.touch(f)
	}
}
