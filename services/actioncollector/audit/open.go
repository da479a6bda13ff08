package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// Open reads the trail in cfg.Dir, all of it, and makes it ready to append to. What a crash while writing left
// at its end is cut off and put aside. If the trail is damaged otherwise, Open begins a new
// segment whose first record declares it; see Trail.Found. It returns
// ErrLocked if another process has the trail open, ErrFull if there is no space to declare a damage.
func Open(ctx context.Context, cfg Config) (*Trail, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("audit trail: %w", err)
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("audit trail: %w", err)
	}
	t := &Trail{dir: cfg.Dir, segmentSize: cmp.Or(cfg.SegmentSize, DefaultSegmentSize), lock: lock, seen: newSeen()}
	if err := t.load(ctx, cfg.Head); err != nil {
		return nil, errors.Join(fmt.Errorf("audit trail: %w", err), t.Close())
	}
	return t, nil
}

func (t *Trail) load(ctx context.Context, head Head) error {
	c := &chain{head: head, visit: t.remember}
	rest, err := t.readAll(ctx, c)
	if err != nil {
		return err
	}
	if err := t.openActive(rest); err != nil {
		return err
	}
	if len(rest.text) > 0 && c.unfinished(rest) {
		if err := t.repair(c.last.Seq+1, rest); err != nil {
			return err
		}
	} else if len(rest.text) > 0 {
		c.unended(rest)
	}
	c.end(rest.at)
	t.head = c.last
	t.found.Records, t.found.LastBreak = c.count, c.broken
	if c.fresh == nil {
		return nil
	}
	return t.declare(c, head)
}

func (t *Trail) remember(r Record) {
	if r.Kind == Action {
		t.seen.add(r.ID, r.StreamSeq)
	}
}

// readAll passes all segments to c and returns what follows the last line of the
// active one. The end of another one is a line like any other.
func (t *Trail) readAll(ctx context.Context, c *chain) (tail, error) {
	names, err := segments(t.dir)
	if err != nil {
		return tail{}, err
	}
	rest := tail{at: place{file: activeName, line: 1}}
	t.start = 1
	for _, name := range names {
		if len(rest.text) > 0 {
			c.unended(rest)
		}
		c.settle(nil)
		t.start = c.last.Seq + 1
		if rest, err = c.read(ctx, t.dir, name); err != nil {
			return tail{}, err
		}
	}
	if n := len(names); n > 0 && names[n-1] != activeName {
		if len(rest.text) > 0 {
			c.unended(rest)
		}
		c.settle(nil)
		t.start = c.last.Seq + 1
		rest = tail{at: place{file: activeName, line: 1}}
	}
	return rest, nil
}

// openActive opens the segment to append to; rest says where its records end.
func (t *Trail) openActive(rest tail) error {
	f, err := openWrite(t.path(activeName))
	if diskFull(err) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	if err != nil {
		return err
	}
	t.file, t.size = f, rest.at.offset
	return syncDir(t.dir)
}

// repair cuts off an unfinished record and puts it aside.
func (t *Trail) repair(seq uint64, rest tail) error {
	t.found.Repaired = &Repair{Seq: seq, Bytes: int64(len(rest.text))}
	aside := t.path(fmt.Sprintf("torn-%020d-%d.part", seq, time.Now().UnixNano()))
	err := writeAside(aside, rest.text)
	switch {
	case err == nil:
		t.found.Repaired.Aside = aside
	case !diskFull(err): // on a full disk the cut makes room, and nothing acknowledged is in it
		return err
	}
	return errors.Join(t.file.Truncate(rest.at.offset), t.file.Sync())
}

func writeAside(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// declare closes the damaged segment and begins a new one that says so.
func (t *Trail) declare(c *chain, head Head) error {
	p := *c.fresh
	if head.Seq > t.head.Seq {
		t.head = head
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
	now := time.Now()
	t.found.Break, t.found.LastBreak = &p, now
	_, err = t.append(now, []Record{{Kind: Break, Reason: breakReason(p)}})
	return err
}

// breakReason keeps the reason to one line of a bounded size.
func breakReason(p Problem) string {
	const most = 4 << 10
	s := strings.ToValidUTF8(p.String(), "?")
	return s[:min(len(s), most)]
}
