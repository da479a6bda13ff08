package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/ironpost/ironpost/internal/atomicfile"
)

// Open opens the trail in cfg.Dir for appending. It reads the active segment and those that the index does
// not cover; with cfg.ReadAll, and if it finds any damage, it reads the whole trail. [Trail.Check] reads
// what Open did not. A record that a crash left unfinished is cut off and copied to another file. Other
// damage is declared: Open closes the segment and begins the next with a Break record; see Trail.Found. It
// returns ErrLocked if another process has the trail open, ErrFull if there is no space to declare damage.
func Open(ctx context.Context, cfg Config) (*Trail, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("audit trail: %w", err)
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("audit trail: %w", err)
	}
	t := &Trail{dir: cfg.Dir, segmentSize: cmp.Or(cfg.SegmentSize, DefaultSegmentSize), openedWith: cfg.Head, lock: lock}
	if err := t.load(ctx, cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("audit trail: %w", err), t.Close())
	}
	return t, nil
}

func (t *Trail) load(ctx context.Context, cfg Config) error {
	names, err := segmentNames(t.dir)
	if err != nil {
		return err
	}
	var from index
	if !cfg.ReadAll {
		from = t.loadIndex(names)
	}
	var c *checker
	var rest remainder
	var left []string
	if len(from.Files) > 0 {
		c, rest, err = t.read(ctx, names, from)
	}
	if err == nil && (c == nil || c.undeclared != nil) { // read all of it, to name all of the damage
		from = index{}
		if from.begin, names, left, err = findBeginning(t.dir, names); err == nil {
			c, rest, err = t.read(ctx, names, from)
		}
	}
	if err == nil && c.undeclared == nil {
		err = t.removeSegments(left)
	}
	if err != nil {
		return err
	}
	if err := t.openActive(rest.at.offset); err != nil {
		return err
	}
	if len(rest.text) > 0 {
		if err := t.repair(c.last.Seq+1, rest); err != nil {
			return err
		}
	}
	t.progress = c.progress
	t.found.Records, t.found.LastBreak = c.records, c.lastBreak
	if c.undeclared != nil {
		return t.declare(*c.undeclared)
	}
	return nil
}

// read checks the segments that the index does not cover. The returned remainder says where the active
// segment ends; its text is an unfinished record, empty if there is none.
func (t *Trail) read(ctx context.Context, names []string, from index) (*checker, remainder, error) {
	t.closed, t.begin = from.Files, from.begin
	if err := t.rememberCovered(ctx, names); err != nil {
		return nil, remainder{}, err
	}
	file := activeName
	if len(names) > 0 {
		file = names[0]
	}
	c := newChecker(t.openedWith, from.begin, file)
	c.visit = t.remember
	if len(from.Files) > 0 {
		c.progress = from.progress
	}
	for _, name := range names[len(from.Files):] {
		if name == activeName {
			break
		}
		_, err := c.takeSegment(ctx, t.dir, name, false)
		if err != nil {
			return nil, remainder{}, err
		}
		c.resolveDamage(nil)
		info, err := os.Lstat(t.path(name))
		if err != nil {
			return nil, remainder{}, err
		}
		t.closed = append(t.closed, c.progress.indexed(name, info.Size()))
	}
	t.start = c.last.Seq + 1
	if len(t.closed) > len(from.Files) && c.undeclared == nil {
		t.progress = c.progress
		t.saveIndex()
	}
	rest := remainder{at: position{file: activeName, line: 1}}
	if n := len(names); n > 0 && names[n-1] == activeName {
		var err error
		if rest, err = readSegmentFile(ctx, t.dir, activeName, c.take); err != nil {
			return nil, remainder{}, err
		}
	}
	if !c.isTornEnd(rest) {
		c.takeUnended(rest)
		rest.text = nil
	}
	c.end(rest.at)
	return c, rest, nil
}

// openActive opens the segment to append to; size is how many bytes of it are records.
func (t *Trail) openActive(size int64) error {
	f, err := openWrite(t.path(activeName))
	if diskFull(err) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	if err != nil {
		return err
	}
	t.file, t.size = f, size
	return atomicfile.SyncDir(t.dir)
}

// repair cuts off an unfinished record after it was copied to another file.
func (t *Trail) repair(seq uint64, rest remainder) error {
	t.found.Repaired = &Repair{Seq: seq, Bytes: int64(len(rest.text))}
	aside := t.path(fmt.Sprintf("torn-%020d-%d.part", seq, time.Now().UnixNano()))
	err := writeNew(aside, rest.text)
	switch {
	case err == nil:
		t.found.Repaired.Aside = aside
	case !diskFull(err): // on a full disk the cut makes room, and nothing acknowledged is in it
		return err
	}
	return errors.Join(t.file.Truncate(rest.at.offset), t.file.Sync())
}

// writeNew creates a file with the given content and syncs it.
func writeNew(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// declare closes the damaged segment and begins a new one with a Break record.
func (t *Trail) declare(p Problem) error {
	if t.openedWith.Seq > t.last.Seq {
		t.last = Head{Seq: t.openedWith.Seq, Hash: t.openedWith.Hash} // so that no seq is used twice
	}
	info, err := t.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() > 0 {
		name, err := t.closeSegment()
		if err != nil {
			return err
		}
		if p.File == activeName {
			p.File = name
		}
	}
	const maxReason = 4 << 10
	reason := strings.ToValidUTF8(p.String(), "?")
	now := time.Now()
	t.found.Break, t.found.LastBreak, t.lastBreak = &p, now, now
	_, err = t.append(now, []Record{{Kind: Break, Reason: reason[:min(len(reason), maxReason)]}})
	return err
}
