package blocklist

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/sirupsen/logrus"
)

const (
	// pollEvery finds what nobody notified: a file on a network, or a folder that was made anew.
	pollEvery = 10 * time.Second
	// lookAgain is how often a file that is changing is looked at.
	lookAgain = 50 * time.Millisecond
	// quietGrown and quietShrunk are how long a file must stay as it is before it is read: a feed that is being
	// written must not be taken for a short one.
	quietGrown  = 150 * time.Millisecond
	quietShrunk = 2 * time.Second
	// eventBuffer bounds the changes that wait to be heard; more wait in the kernel.
	eventBuffer = 256
)

var (
	errNotRegular = errors.New("not a regular file")
	errChanging   = errors.New("changed while it was read")
	errUnusable   = errors.New("none of its lines can be used")
)

// stamp tells one state of a file from another.
type stamp struct {
	size int64
	time time.Time
	info fs.FileInfo
}

func stampOf(info fs.FileInfo) stamp {
	return stamp{size: info.Size(), time: info.ModTime(), info: info}
}

func (s stamp) is(other stamp) bool {
	return s.info != nil && other.info != nil && s.size == other.size && s.time.Equal(other.time) && os.SameFile(s.info, other.info)
}

// file is one feed. What it said last stays in force while it cannot be read, or says nothing that can be used.
type file struct {
	path  string
	list  []ranked // collapsed
	lines int
	bad   int
	named []BadLine
	read  bool // once at least since the start
	err   error

	have  stamp // what was read
	seen  stamp // what is there and may still change
	since time.Time
}

// files are all feeds, in the order of the configuration. Not for concurrent use.
type files struct {
	all []*file
	log logrus.FieldLogger
}

func newFiles(paths []string, log logrus.FieldLogger) *files {
	f := &files{log: log}
	for _, path := range paths {
		f.all = append(f.all, &file{path: path})
	}
	return f
}

// look reads what has changed and is quiet. Changed says that what they say together may have changed; pending, that one
// is still changing.
func (f *files) look(now time.Time) (changed, pending bool) {
	for i, one := range f.all {
		before := one.err
		c, p := one.look(uint16(i), now)
		changed, pending = changed || c, pending || p
		if one.err != nil && (before == nil || before.Error() != one.err.Error()) {
			f.log.WithError(one.err).WithField("path", one.path).Warn("blocklist file not used")
		}
		if c {
			f.tell(one)
		}
	}
	return changed, pending
}

func (f *files) tell(one *file) {
	f.log.WithFields(logrus.Fields{"path": one.path, "lines": one.lines, "prefixes": len(one.list), "bad_lines": one.bad}).Info("blocklist file read")
	for _, bad := range one.named {
		f.log.WithError(bad.Err).WithField("line", fmt.Sprintf("%s:%d", one.path, bad.Line)).Warn("blocklist line not used")
	}
}

// together returns what all say, collapsed, and whether each has been read since the start.
func (f *files) together() (list []ranked, complete bool) {
	complete = true
	for _, one := range f.all {
		list = append(list, one.list...)
		complete = complete && one.read
	}
	if len(f.all) > 1 {
		list = collapse(list)
	}
	return list, complete
}

func (one *file) look(index uint16, now time.Time) (changed, pending bool) {
	info, err := os.Stat(one.path)
	if err != nil {
		one.err = cause(err)
		return false, false
	}
	there := stampOf(info)
	if there.is(one.have) {
		one.seen = stamp{}
		return false, false
	}
	if !there.is(one.seen) {
		one.seen, one.since = there, now
	}
	if one.have.info != nil && now.Sub(one.since) < one.quiet(there) {
		return false, true
	}
	return one.load(index)
}

func (one *file) quiet(there stamp) time.Duration {
	if there.size < one.have.size {
		return quietShrunk
	}
	return quietGrown
}

// load reads the file. Another attempt follows, if it changed meanwhile.
func (one *file) load(index uint16) (changed, pending bool) {
	feed, was, err := readFile(one.path)
	if errors.Is(err, errChanging) {
		return false, true
	}
	one.err = err
	if err != nil {
		one.have = was
		return false, false
	}
	one.have, one.bad, one.lines = was, feed.Bad, feed.Lines
	if feed.Bad > 0 && len(feed.Prefixes) == 0 {
		one.err = fmt.Errorf("%w: line %d: %w", errUnusable, feed.BadLines[0].Line, feed.BadLines[0].Err)
		return false, false
	}
	list := make([]ranked, len(feed.Prefixes))
	for i, p := range feed.Prefixes {
		list[i] = ranked{Prefix: p, file: index}
	}
	one.list, one.read, one.named = collapse(list), true, feed.BadLines
	return true, false
}

func readFile(path string) (Feed, stamp, error) {
	in, err := open(path)
	if err != nil {
		return Feed{}, stamp{}, cause(err)
	}
	defer in.Close() //nolint:errcheck // was only read
	info, err := in.Stat()
	if err != nil {
		return Feed{}, stamp{}, cause(err)
	}
	was := stampOf(info)
	if !info.Mode().IsRegular() {
		return Feed{}, was, errNotRegular
	}
	feed, err := ReadFeed(in)
	if err != nil {
		return Feed{}, was, cause(err)
	}
	if info, err = in.Stat(); err != nil || !stampOf(info).is(was) {
		return Feed{}, stamp{}, errChanging
	}
	return feed, was, nil
}

// cause leaves out the path, which stands in a field of its own.
func cause(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err
	}
	return err
}

// report is what the files say at one time. List is nil unless Changed.
type report struct {
	changed  bool
	list     []ranked // collapsed
	complete bool     // each file has been read since the start
	problems []string
	bad      int
}

// follow looks at the start, at every change of the folders, and now and then, and calls each after every look; it returns
// when ctx ends.
func (f *files) follow(ctx context.Context, each func(report)) error {
	w := f.notified()
	defer w.close()
	for {
		changed, pending := f.look(time.Now())
		r := report{changed: changed, problems: f.problems(), bad: f.badLines()}
		if changed {
			r.list, r.complete = f.together()
		}
		each(r)
		wait := pollEvery
		if pending {
			wait = lookAgain
		}
		if !f.wait(ctx, w, wait) {
			return nil
		}
	}
}

// wait returns when a file may have changed; false if ctx has ended.
func (f *files) wait(ctx context.Context, w notifier, most time.Duration) bool {
	timer := time.NewTimer(most)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case e := <-w.events:
			if f.knows(e.Name) {
				return true
			}
		case err := <-w.errors:
			f.log.WithError(err).Debug("changes of folders were lost") // so look
			return true
		}
	}
}

// knows: what leads to a file through a link has a name of its own.
func (f *files) knows(name string) bool {
	return slices.ContainsFunc(f.all, func(one *file) bool { return one.path == name || one.isLink() })
}

func (one *file) isLink() bool {
	info, err := os.Lstat(one.path)
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

// notifier has nil channels where nothing is notified.
type notifier struct {
	events <-chan fsnotify.Event
	errors <-chan error
	close  func()
}

// notified watches the folders of the files. Without inotify, or for a folder that is not there, polling remains.
func (f *files) notified() notifier {
	w, err := fsnotify.NewBufferedWatcher(eventBuffer)
	if err != nil {
		f.log.WithError(err).Info("blocklist files are polled")
		return notifier{close: func() {}}
	}
	for _, one := range f.all {
		for _, dir := range folders(one.path) {
			_ = w.Add(dir) // else it is polled
		}
	}
	return notifier{events: w.Events, errors: w.Errors, close: func() { _ = w.Close() }} // nothing to lose
}

// folders are those of the file and, if it is a link, of what it leads to.
func folders(path string) []string {
	dirs := []string{filepath.Dir(path)}
	if target, err := filepath.EvalSymlinks(path); err == nil && filepath.Dir(target) != dirs[0] {
		dirs = append(dirs, filepath.Dir(target))
	}
	return dirs
}

// problems says in words what is wrong with files.
func (f *files) problems() []string {
	var all []string
	for _, one := range f.all {
		if one.err != nil {
			all = append(all, fmt.Sprintf("blocklist file %s: %v%s", one.path, one.err, one.consequence()))
		}
	}
	return all
}

func (one *file) consequence() string {
	if one.read {
		return "; what it said before stays in force"
	}
	return ""
}

// badLines counts the lines that could not be used.
func (f *files) badLines() (n int) {
	for _, one := range f.all {
		n += one.bad
	}
	return n
}
