package blocklist

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/internal/ownership"
)

const (
	// pollInterval is how often files are checked without a notification: on a network file system, or in a folder that was
	// replaced, there is none.
	pollInterval = 10 * time.Second
	// changingInterval is how often a file that is changing is checked.
	changingInterval = 50 * time.Millisecond
	// quietGrown and quietShrunk are how long a file must be unchanged before it is read: half a feed that is just being
	// written must not replace the whole one.
	quietGrown  = 150 * time.Millisecond
	quietShrunk = 2 * time.Second
	// eventBuffer bounds the notifications that wait in the process; more wait in the kernel.
	eventBuffer = 256
)

var (
	errChanging = errors.New("changed while it was read")
	errUnusable = errors.New("none of its lines can be used")
)

// version identifies one state of a file.
type version struct {
	size int64
	time time.Time
	info fs.FileInfo
}

func versionOf(info fs.FileInfo) version {
	return version{size: info.Size(), time: info.ModTime(), info: info}
}

func (v version) equal(other version) bool {
	return v.info != nil && other.info != nil && v.size == other.size && v.time.Equal(other.time) && os.SameFile(v.info, other.info)
}

// feedFile is one feed. Its last usable contents stay in force while it cannot be read or holds nothing usable.
type feedFile struct {
	path     string
	prefixes []feedPrefix // collapsed
	bad      int          // lines that could not be used
	hostBits int          // prefixes with host bits, and the line of the first
	firstBit int
	loaded   bool // at least once since the start, or restored from the store
	err      error
	storeErr error
	trusted  ownership.Users
	restored bool // prefixes are from the store and have not been reported

	sizes    feedSizes
	refused  *refusal // nil: the contents are in force, or cannot be read
	accepted version  // accepted by an operator although it is small

	read         version // the latest that was read
	pending      version // the one that may still change
	pendingSince time.Time
}

// feedFiles are all feeds, in the order of the configuration. They are for one goroutine.
type feedFiles struct {
	all     []*feedFile
	store   feedStore
	accepts <-chan acceptRequest
	log     logrus.FieldLogger
}

// newFeedFiles returns the feeds at paths with what store has of them.
func newFeedFiles(paths []string, store feedStore, accepts <-chan acceptRequest, trusted ownership.Users, log logrus.FieldLogger) *feedFiles {
	f := &feedFiles{store: store, accepts: accepts, log: log}
	for i, path := range paths {
		file := &feedFile{path: path, trusted: trusted}
		sizes, prefixes, err := store.load(path)
		if err != nil {
			log.WithError(err).WithField("path", path).Warn("cannot read the kept contents of a blocklist file")
		} else if sizes != nil {
			file.sizes, file.prefixes, file.loaded, file.restored = sizes, inFile(prefixes, i), true, true
		}
		f.all = append(f.all, file)
	}
	return f
}

// inFile returns prefixes as those of the file with this index, collapsed.
func inFile(prefixes []netip.Prefix, index int) []feedPrefix {
	list := make([]feedPrefix, len(prefixes))
	for i, p := range prefixes {
		list[i] = feedPrefix{Prefix: p, file: uint16(index)}
	}
	return collapse(list)
}

// filesReport is the result of one check of all files. List is nil unless changed.
type filesReport struct {
	changed  bool
	list     []feedPrefix // collapsed
	complete bool         // each file has been loaded since the start
	problems []string     // why files cannot be used
	remarks  []string     // what was read otherwise than written
	bad      int          // lines that could not be used
}

// follow checks the files at the start, at every change in their folders, and every pollInterval, and calls each after every
// check; it returns when ctx ends.
func (f *feedFiles) follow(ctx context.Context, each func(filesReport)) error {
	w := f.watchFolders()
	defer w.close()
	for {
		report, pending := f.check(time.Now())
		each(report)
		wait := pollInterval
		if pending {
			wait = changingInterval
		}
		if !f.wait(ctx, w, wait) {
			return nil
		}
	}
}

// check reads the files that have changed and are quiet. Pending says that one is still changing.
func (f *feedFiles) check(now time.Time) (report filesReport, pending bool) {
	for i, file := range f.all {
		before := file.err
		changed, changing := file.check(i, now, f.log)
		if changed {
			file.storeErr = f.store.save(file.path, file.sizes, file.prefixes)
		}
		if file.storeErr != nil {
			report.problems = append(report.problems, fmt.Sprintf("contents of blocklist file %s are not kept for a restart: %v", file.path, file.storeErr))
		}
		if file.restored { // what the kernel may have anyway
			file.restored, changed = false, true
		}
		report.changed, pending = report.changed || changed, pending || changing
		report.bad += file.bad
		if file.hostBits > 0 {
			report.remarks = append(report.remarks, fmt.Sprintf("blocklist file %s: %d prefixes have bits beyond their length and block the whole network, the first in line %d",
				file.path, file.hostBits, file.firstBit))
		}
		if file.err == nil {
			continue
		}
		if before == nil || before.Error() != file.err.Error() {
			f.log.WithError(file.err).WithField("path", file.path).Warn("cannot use blocklist file")
		}
		problem := fmt.Sprintf("blocklist file %s: %v", file.path, file.err)
		if file.loaded {
			problem += "; its previous contents stay in force"
		}
		report.problems = append(report.problems, problem)
	}
	if !report.changed {
		return report, pending
	}
	report.complete = true
	for _, file := range f.all {
		report.list = append(report.list, file.prefixes...)
		report.complete = report.complete && file.loaded
	}
	if len(f.all) > 1 {
		report.list = collapse(report.list)
	}
	return report, pending
}

// check reads the file, the one with this index, if it has changed and is quiet.
func (f *feedFile) check(index int, now time.Time, log logrus.FieldLogger) (changed, changing bool) {
	info, err := os.Stat(f.path)
	if err != nil {
		f.err = withoutPath(err)
		return false, false
	}
	current := versionOf(info)
	if current.equal(f.read) {
		f.pending = version{}
		return false, false
	}
	if !current.equal(f.pending) {
		f.pending, f.pendingSince = current, now
	}
	quiet := quietGrown
	if current.size < f.read.size {
		quiet = quietShrunk
	}
	if f.read.info != nil && now.Sub(f.pendingSince) < quiet {
		return false, true
	}
	return f.load(index, now, log)
}

// load reads the file. One that changes meanwhile is read again later.
func (f *feedFile) load(index int, now time.Time, log logrus.FieldLogger) (changed, changing bool) {
	if f.err = f.trusted.Check(f.path); f.err != nil {
		return false, false // it is looked at again: its mode may be mended without another content
	}
	feed, read, err := readFeedFile(f.path)
	if errors.Is(err, errChanging) {
		return false, true
	}
	f.err, f.read = err, read
	if err != nil {
		return false, false
	}
	f.bad, f.hostBits, f.firstBit = feed.Bad, feed.HostBits, feed.FirstHostBits
	if feed.Bad > 0 && len(feed.Prefixes) == 0 {
		f.err = fmt.Errorf("%w: line %d: %w", errUnusable, feed.BadLines[0].Line, feed.BadLines[0].Err)
		return false, false
	}
	if f.err = f.checkShrunk(len(feed.Prefixes), read, now); f.err != nil {
		return false, false
	}
	f.prefixes, f.loaded, f.sizes = inFile(feed.Prefixes, index), true, f.sizes.add(len(feed.Prefixes), now)
	log.WithFields(logrus.Fields{"path": f.path, "lines": feed.Lines, "prefixes": len(f.prefixes), "bad_lines": feed.Bad}).Info("blocklist file read")
	for _, bad := range feed.BadLines {
		log.WithError(bad.Err).WithField("line", fmt.Sprintf("%s:%d", f.path, bad.Line)).Warn("cannot use line of blocklist file")
	}
	return true, false
}

// readFeedFile reads a feed and returns the version that was read; errChanging if there were two.
func readFeedFile(path string) (Feed, version, error) {
	in, read, err := openRegular(path)
	if err != nil {
		return Feed{}, read, withoutPath(err)
	}
	defer in.Close() //nolint:errcheck // was only read
	feed, err := ReadFeed(in)
	if err != nil {
		return Feed{}, read, withoutPath(err)
	}
	if info, err := in.Stat(); err != nil || !versionOf(info).equal(read) {
		return Feed{}, version{}, errChanging
	}
	return feed, read, nil
}

// withoutPath removes the path from an error that is reported together with it.
func withoutPath(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err
	}
	return err
}

// wait returns true when a file may have changed or timeout is over, false when ctx ends.
func (f *feedFiles) wait(ctx context.Context, w folderWatcher, timeout time.Duration) bool {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case request := <-f.accepts:
			feed, err := f.accept(request.path)
			request.reply <- acceptReply{feed, err}
			return true
		case e := <-w.events:
			if f.concerns(e.Name) {
				return true
			}
		case err := <-w.errors:
			f.log.WithError(err).Debug("changes in folders of blocklist files were lost, checking all")
			return true
		}
	}
}

// concerns reports whether a change of name may change a feed; the target of a symbolic link has any name.
func (f *feedFiles) concerns(name string) bool {
	return slices.ContainsFunc(f.all, func(file *feedFile) bool {
		if file.path == name {
			return true
		}
		info, err := os.Lstat(file.path)
		return err == nil && info.Mode()&fs.ModeSymlink != 0
	})
}

// folderWatcher reports changes in folders. Its channels are nil without inotify.
type folderWatcher struct {
	events <-chan fsnotify.Event
	errors <-chan error
	close  func()
}

// watchFolders watches the folders of the files and of the targets of symbolic links. Without inotify, or for a folder that is
// missing, polling remains.
func (f *feedFiles) watchFolders() folderWatcher {
	w, err := fsnotify.NewBufferedWatcher(eventBuffer)
	if err != nil {
		f.log.WithError(err).Info("changes in folders are not reported, blocklist files are polled")
		return folderWatcher{close: func() {}}
	}
	for _, file := range f.all {
		_ = w.Add(filepath.Dir(file.path)) // else polling
		if target, err := filepath.EvalSymlinks(file.path); err == nil {
			_ = w.Add(filepath.Dir(target))
		}
	}
	return folderWatcher{events: w.Events, errors: w.Errors, close: func() { _ = w.Close() }} // nothing to lose
}
