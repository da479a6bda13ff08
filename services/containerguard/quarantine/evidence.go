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
	"strconv"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/atomicfile"
	"github.com/ironpost/ironpost/internal/docker"
)

const (
	evidenceFolder = "evidence"
	manifestFile   = "manifest.json"
	maxPiece       = 32 << 20 // bytes of one file
	logLines       = 10_000   // newest lines of the container's log
	maxProcesses   = 1024     // whose sockets and executables are listed
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

// Piece is one file of evidence. Error says why it is missing or cut.
type Piece struct {
	File   string    `json:"file"`
	Taken  time.Time `json:"taken"`
	TookMS int64     `json:"took_ms"`
	Size   int64     `json:"size"`
	SHA256 string    `json:"sha256"`
	Error  string    `json:"error,omitempty"`
}

// collectEvidence writes the evidence of an isolated container below
// data_dir/evidence/<action>. A missing piece is recorded in the manifest and stops
// nothing; the error is about the ledger, or the end of ctx.
func (a *attempt) collectEvidence(ctx context.Context) error {
	a.e.Evidence = filepath.Join(evidenceFolder, a.e.Order.ActionID)
	if err := a.beginStep(StepEvidence); err != nil {
		return err
	}
	order := a.e.Order
	err := a.unlocked(ctx, func(released context.Context) error { return a.writeEvidence(ctx, released) })
	if ctx.Err() != nil {
		return ctx.Err() // the next start collects again
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("evidence: %w", err)
	a.refused = append(a.refused, err)
	if errors.Is(err, errNoRoom) {
		a.m.evidence.countRefused()
	}
	about := a.e.clone() // a further order may have come meanwhile
	about.Order = order
	a.actions.add(&about, "evidence", event.Failed, func(r *event.Action) { r.Error = err.Error() })
	if _, missing := os.Lstat(filepath.Join(a.m.options.DataDir, a.e.Evidence)); errors.Is(missing, fs.ErrNotExist) {
		a.e.Evidence = ""
	}
	return nil
}

// unlocked runs fn without the slot's lock, so that a quarantine undone meanwhile is
// applied again at once, and a release need not wait: it ends fn's context. Then it
// locks the slot again and gives the attempt the newest entry.
func (a *attempt) unlocked(ctx context.Context, fn func(context.Context) error) error {
	collecting, cancel := context.WithCancel(ctx)
	defer cancel()
	a.slot.cancelCollection.Store(&cancel)
	a.slot.unlock()
	err := fn(collecting)
	_ = a.slot.acquire(context.WithoutCancel(ctx)) // the caller unlocks the slot; whatever holds it now has time budgets
	a.slot.cancelCollection.Store(nil)
	if a.slot.entry != nil {
		*a.e = a.slot.entry.clone()
	}
	return err
}

// writeEvidence writes the pieces and the manifest. collecting ends early when the
// container is released: the manifest then marks what is missing.
func (a *attempt) writeEvidence(ctx, collecting context.Context) error {
	select {
	case a.m.collectors <- struct{}{}:
		defer func() { <-a.m.collectors }()
	case <-collecting.Done():
		if ctx.Err() != nil {
			return ctx.Err() // without a manifest the next start collects again
		}
		// Released while waiting: pieces that need no Docker are written, the others marked.
	}
	if _, err := os.Lstat(filepath.Join(a.m.options.DataDir, a.e.Evidence, manifestFile)); err == nil {
		return nil // complete: the guard ended after it
	}
	action := a.e.Order.ActionID
	root, err := a.m.evidence.create(action)
	if err != nil {
		return err
	}
	defer a.m.evidence.finish(action)
	defer func() { _ = root.Close() }()
	c := a.e.Before
	m := Manifest{Action: action, Container: c.ID, Name: c.Name, Image: c.Image, FrozenAt: a.e.FrozenAt, Began: time.Now().UTC()}
	var noRoom error
	for _, s := range a.sources() {
		p, err := writePiece(collecting, root, s, func(n int64) error { return a.m.evidence.reserve(action, n) })
		m.Pieces = append(m.Pieces, p)
		m.Partial = m.Partial || err != nil
		if errors.Is(err, errNoRoom) {
			noRoom = err
		}
	}
	m.Ended = time.Now().UTC()
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err() // without a manifest the next start collects again
	}
	return errors.Join(noRoom, atomicfile.Write(root, manifestFile, raw, 0o600))
}

// source is where one piece of evidence comes from, and the time it may take.
type source struct {
	file   string
	budget time.Duration
	write  func(context.Context, io.Writer) error
}

// sources lists the pieces, the most volatile first.
func (a *attempt) sources() []source {
	d, id := a.m.options.Docker, a.e.Before.ID
	return []source{
		{"before.json", time.Second, func(_ context.Context, w io.Writer) error { return json.NewEncoder(w).Encode(a.e.Before) }},
		{"inspect.json", time.Second, func(_ context.Context, w io.Writer) error {
			raw := a.firstFrozen
			if raw == nil { // the guard ended after the freeze, or nothing was frozen
				raw = a.raw
			}
			redacted, err := redactEnvironment(raw)
			if err == nil {
				_, err = w.Write(redacted)
			}
			return err
		}},
		{"sockets.jsonl", 2 * time.Second, func(ctx context.Context, w io.Writer) error {
			pids, err := a.processes(ctx)
			return errors.Join(err, writeSockets(ctx, a.now, pids, w))
		}},
		{"top.json", 3 * time.Second, func(ctx context.Context, w io.Writer) error {
			if !a.now.Running {
				return errors.New("container does not run")
			}
			rows, err := d.Top(ctx, id)
			return errors.Join(err, json.NewEncoder(w).Encode(rows))
		}},
		{"executables.jsonl", 10 * time.Second, func(ctx context.Context, w io.Writer) error {
			pids, err := a.processes(ctx)
			return errors.Join(err, writeExecutables(ctx, a.now, pids, w))
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

// processes returns the ids of the container's processes, as the host counts.
func (a *attempt) processes(ctx context.Context) ([]int, error) {
	if !a.now.Running {
		return nil, errors.New("container does not run")
	}
	rows, err := a.m.options.Docker.Top(ctx, a.e.Before.ID)
	if err != nil {
		return nil, err
	}
	var out []int
	for _, row := range rows {
		pid, err := strconv.Atoi(row["PID"])
		if err != nil {
			continue
		}
		if len(out) == maxProcesses {
			return out, fmt.Errorf("cut after %d processes", maxProcesses)
		}
		out = append(out, pid)
	}
	return out, nil
}

// writeLine writes a log line as JSON, so that its text cannot pass for another line.
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

// writePiece writes one piece, reserving room for its bytes. Its error is in the piece too.
func writePiece(ctx context.Context, root *os.Root, s source, reserve func(bytes int64) error) (Piece, error) {
	began := time.Now()
	p := Piece{File: s.file, Taken: began.UTC()}
	timed, cancel := context.WithTimeout(ctx, s.budget)
	defer cancel()
	err := func() error {
		f, err := root.OpenFile(s.file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // never through a link
		if err != nil {
			return err
		}
		out := &pieceWriter{file: f, sum: sha256.New(), reserve: reserve}
		err = s.write(timed, out)
		p.Size, p.SHA256 = out.size, hex.EncodeToString(out.sum.Sum(nil))
		return errors.Join(err, f.Sync(), f.Close())
	}()
	if err != nil {
		p.Error = err.Error()
	}
	p.TookMS = time.Since(began).Milliseconds()
	return p, err
}

// pieceWriter writes a file of at most maxPiece bytes and hashes it.
type pieceWriter struct {
	file    *os.File
	sum     hash.Hash
	size    int64
	reserve func(bytes int64) error
}

var errPieceFull = fmt.Errorf("cut after %d bytes", maxPiece)

// Write implements io.Writer.
func (w *pieceWriter) Write(b []byte) (int, error) {
	cut := int64(len(b)) > maxPiece-w.size
	if cut {
		b = b[:maxPiece-w.size]
	}
	if err := w.reserve(onDisk(w.size+int64(len(b))) - onDisk(w.size)); err != nil {
		return 0, err
	}
	n, err := w.file.Write(b)
	w.sum.Write(b[:n]) // a hash returns no error
	w.size += int64(n)
	if err == nil && cut {
		err = errPieceFull
	}
	return n, err
}
