package quarantine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/services/containerguard/folder"
)

const (
	evidenceFolder = "evidence"
	manifestFile   = "manifest.json"
	maxPiece       = 32 << 20 // bytes of one file
	logLines       = 10_000   // newest lines kept
)

// Manifest describes the evidence of one action. Partial says that a piece is
// missing or cut.
type Manifest struct {
	Action    string    `json:"action"`
	Container string    `json:"container"`
	Name      string    `json:"name"`
	Image     string    `json:"image"`
	FrozenAt  time.Time `json:"frozen_at,omitzero"`
	Began     time.Time `json:"began"`
	Ended     time.Time `json:"ended"`
	Partial   bool      `json:"partial"`
	Pieces    []Piece   `json:"pieces"`
}

// Piece is one file of evidence. Error says why it is missing or not whole.
type Piece struct {
	File   string    `json:"file"`
	Taken  time.Time `json:"taken"`
	TookMS int64     `json:"took_ms"`
	Size   int64     `json:"size"`
	SHA256 string    `json:"sha256"`
	Error  string    `json:"error,omitempty"`
}

// source takes one piece of evidence within its budget.
type source struct {
	file   string
	budget time.Duration
	write  func(context.Context, io.Writer) error
}

// collect keeps evidence of a held container under data_dir/evidence/<action>. A
// piece that cannot be had is marked and never stops what follows; only a ledger
// that cannot be written is an error.
func (a *attempt) collect(ctx context.Context) error {
	a.e.Evidence = filepath.Join(evidenceFolder, a.e.Order.ActionID)
	if err := a.begin(StepEvidence); err != nil {
		return err
	}
	order := a.e.Order
	err := a.unlocked(ctx, func(timed context.Context) error { return a.keep(ctx, timed) })
	if ctx.Err() != nil {
		return ctx.Err() // the next start takes it anew
	}
	if err != nil {
		a.unkept(order, fmt.Errorf("evidence: %w", err))
	}
	return nil
}

// unkept tells that evidence of an order is missing.
func (a *attempt) unkept(o Order, err error) {
	a.refused = append(a.refused, err)
	if errors.Is(err, errNoRoom) {
		a.m.archive.refused()
	}
	about := a.e.clone()
	about.Order = o
	a.reports.add(&about, "evidence", event.Failed, func(r *event.Action) { r.Error = err.Error() })
	if _, missing := os.Lstat(filepath.Join(a.m.options.DataDir, a.e.Evidence)); errors.Is(missing, fs.ErrNotExist) {
		a.e.Evidence = ""
	}
}

// unlocked runs fn without the slot's lock, so that a quarantine undone meanwhile
// is applied again at once, and a release does not wait but ends fn. Afterwards
// the slot is locked again and the attempt knows the newest entry.
func (a *attempt) unlocked(ctx context.Context, fn func(context.Context) error) error {
	timed, cancel := context.WithCancel(ctx)
	defer cancel()
	a.slot.collecting.Store(&cancel)
	a.slot.release()
	err := fn(timed)
	_ = a.slot.acquire(context.WithoutCancel(ctx)) // the caller unlocks it; who holds it now has time budgets
	a.slot.collecting.Store(nil)
	if a.slot.entry != nil {
		*a.e = a.slot.entry.clone()
	}
	return err
}

// keep writes the pieces and the manifest. timed ends early when the container is
// released: what was not taken by then is marked in the manifest.
func (a *attempt) keep(ctx, timed context.Context) error {
	select {
	case a.m.evidence <- struct{}{}:
		defer func() { <-a.m.evidence }()
	case <-timed.Done():
		if ctx.Err() != nil {
			return ctx.Err() // without a manifest the next start takes it anew
		}
		// Released before its turn: what needs no engine is kept, the rest is marked.
	}
	if _, err := os.Lstat(filepath.Join(a.m.options.DataDir, a.e.Evidence, manifestFile)); err == nil {
		return nil // whole already: the guard ended after it
	}
	action := a.e.Order.ActionID
	root, done, err := a.m.archive.begin(action)
	if err != nil {
		return err
	}
	defer done()
	defer func() { _ = root.Close() }()
	c := a.e.Before
	m := Manifest{Action: action, Container: c.ID, Name: c.Name, Image: c.Image, FrozenAt: a.e.FrozenAt, Began: time.Now().UTC()}
	var short error
	for _, s := range a.sources() {
		p, err := take(timed, root, s, func(from, to int64) error { return a.m.archive.grow(action, from, to) })
		m.Pieces = append(m.Pieces, p)
		m.Partial = m.Partial || err != nil
		if errors.Is(err, errNoRoom) {
			short = err
		}
	}
	m.Ended = time.Now().UTC()
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err() // without a manifest the next start takes it anew
	}
	return errors.Join(short, folder.Put(root, manifestFile, raw))
}

// sources lists the pieces, what changes soonest first.
func (a *attempt) sources() []source {
	d, id := a.m.options.Docker, a.e.Before.ID
	return []source{
		{"before.json", time.Second, func(_ context.Context, w io.Writer) error { return json.NewEncoder(w).Encode(a.e.Before) }},
		{"inspect.json", time.Second, func(_ context.Context, w io.Writer) error {
			raw := a.first
			if raw == nil { // the guard ended after the freeze, or there was none
				raw = a.raw
			}
			_, err := w.Write(raw)
			return err
		}},
		{"top.json", 3 * time.Second, func(ctx context.Context, w io.Writer) error {
			if !a.now.Running {
				return errors.New("container does not run")
			}
			rows, err := d.Top(ctx, id)
			return errors.Join(err, json.NewEncoder(w).Encode(rows))
		}},
		{"logs.jsonl", 5 * time.Second, func(ctx context.Context, w io.Writer) error {
			return d.Logs(ctx, id, docker.LogOptions{Tail: logLines}, writeLine(w))
		}},
		{"changes.json", 10 * time.Second, func(ctx context.Context, w io.Writer) error {
			rows, err := d.Diff(ctx, id)
			return errors.Join(err, json.NewEncoder(w).Encode(rows))
		}},
	}
}

// writeLine writes a line of a log as JSON, so that nothing in it can pass for another line.
func writeLine(w io.Writer) func(docker.LogLine) error {
	out := json.NewEncoder(w)
	return func(l docker.LogLine) error {
		return out.Encode(struct {
			Time      time.Time `json:"time"`
			Stream    string    `json:"stream"`
			Text      string    `json:"text"`
			Truncated bool      `json:"truncated,omitempty"`
		}{l.Time, l.Stream, string(l.Text), l.Truncated})
	}
}

// take writes one piece, for whose bytes grow makes room. Its error is in the piece too.
func take(ctx context.Context, root *os.Root, s source, grow func(from, to int64) error) (Piece, error) {
	began := time.Now()
	p := Piece{File: s.file, Taken: began.UTC()}
	timed, cancel := context.WithTimeout(ctx, s.budget)
	defer cancel()
	err := func() error {
		f, err := folder.Create(root, s.file)
		if err != nil {
			return err
		}
		out := &piece{file: f, sum: sha256.New(), left: maxPiece, grow: grow}
		err = s.write(timed, out)
		p.Size, p.SHA256 = maxPiece-out.left, hex.EncodeToString(out.sum.Sum(nil))
		return errors.Join(err, f.Sync(), f.Close())
	}()
	if err != nil {
		p.Error = err.Error()
	}
	p.TookMS = time.Since(began).Milliseconds()
	return p, err
}

// piece is a file with a hash and a limit.
type piece struct {
	file *os.File
	sum  hash.Hash
	left int64
	grow func(from, to int64) error
}

var errPieceFull = fmt.Errorf("cut after %d bytes", maxPiece)

// Write implements io.Writer.
func (p *piece) Write(b []byte) (int, error) {
	cut := false
	if int64(len(b)) > p.left {
		b, cut = b[:p.left], true
	}
	if err := p.grow(maxPiece-p.left, maxPiece-p.left+int64(len(b))); err != nil {
		return 0, err
	}
	n, err := p.file.Write(b)
	p.sum.Write(b[:n]) // never an error
	p.left -= int64(n)
	if err == nil && cut {
		err = errPieceFull
	}
	return n, err
}
