package osvscanner

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
	"github.com/ironpost/ironpost/services/sbomscanner/match"
)

const (
	// Program is the command that links osv-scanner.
	Program = "ironpost-sbom-scanner"

	defaultMemory  = 4 << 30
	defaultTimeout = 15 * time.Minute
	maxReport      = 256 << 20
	maxMessage     = 8 << 10 // of the program's standard error
	endTime        = 5 * time.Second
)

// ErrNotBuilt says that the program is not there.
var ErrNotBuilt = errors.New("the second engine is a program of its own: build it with `make build`, or copy " + Program + " beside this program")

// Options of an Engine. The zero value is usable.
type Options struct {
	MemoryBytes int64         // limit of the process; 0 means 4 GiB
	Timeout     time.Duration // of one scan; 0 means 15 minutes
	TempDir     string        // for the advisories, as much as their archives have; empty means the system's
}

// Engine runs osv-scanner. It may be used concurrently; each call starts a process.
type Engine struct {
	path    string
	options Options
}

// Target is what to scan. Inventory is always set: it says of which ecosystems advisories are needed. Without Directory and
// Image, osv-scanner gets the packages of the inventory; otherwise it looks for packages itself.
type Target struct {
	Inventory *inventory.Inventory
	Directory string // path of a folder
	Image     string // path of an archive of docker save
}

// Find returns the engine whose program lies in the folder of the running program. The search path is not used. Errors: ErrNotBuilt.
func Find(o Options) (*Engine, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the folder of this program: %w", err)
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return nil, fmt.Errorf("find the folder of this program: %w", err)
	}
	name := Program
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return at(filepath.Join(filepath.Dir(self), name), o)
}

func at(path string, o Options) (*Engine, error) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not there: %w", path, ErrNotBuilt)
	}
	o.MemoryBytes, o.Timeout = cmp.Or(o.MemoryBytes, defaultMemory), cmp.Or(o.Timeout, defaultTimeout)
	return &Engine{path: path, options: o}, nil
}

// Match returns the findings of osv-scanner for an inventory, described as the matcher describes its own.
func (e *Engine) Match(ctx context.Context, store *advisory.Store, o match.Options, inv *inventory.Inventory) (*match.Result, error) {
	report, err := e.Scan(ctx, store, Target{Inventory: inv})
	if err != nil {
		return nil, err
	}
	ids := map[key][]string{}
	for i := range report.Packages {
		p := &report.Packages[i]
		ids[p.key()] = append(ids[p.key()], p.IDs...)
	}
	return match.New(store, o).Describe(ctx, inv, func(p *inventory.Package) []string { return ids[keyOf(p)] })
}

// Scan runs osv-scanner with the advisories of store. It ends the process when ctx does.
func (e *Engine) Scan(ctx context.Context, store *advisory.Store, t Target) (_ *Report, err error) {
	dir, err := os.MkdirTemp(e.options.TempDir, "ironpost-osv-scanner-")
	if err != nil {
		return nil, fmt.Errorf("prepare osv-scanner: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	request, err := prepare(ctx, dir, store, t)
	if err != nil {
		return nil, fmt.Errorf("prepare osv-scanner: %w", err)
	}
	request.MemoryBytes = e.options.MemoryBytes
	return e.run(ctx, dir, request)
}

// prepare writes what the request names to dir.
func prepare(ctx context.Context, dir string, store *advisory.Store, t Target) (Request, error) {
	r := Request{Database: filepath.Join(dir, "database"), Config: filepath.Join(dir, "osv-scanner.toml")}
	if err := os.WriteFile(r.Config, nil, fileMode); err != nil {
		return r, err
	}
	if err := writeDatabase(ctx, r.Database, store, t.Inventory); err != nil {
		return r, err
	}
	var err error
	switch {
	case t.Directory != "":
		r.Directory, err = filepath.Abs(t.Directory)
	case t.Image != "":
		r.Image, err = filepath.Abs(t.Image)
	default:
		r.Document = filepath.Join(dir, "inventory.cdx.json")
		err = writeDocument(r.Document, t.Inventory)
	}
	return r, err
}

// run starts the program and reads its report.
func (e *Engine) run(ctx context.Context, dir string, r Request) (*Report, error) {
	input, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, e.options.Timeout)
	defer cancel()
	output, message := &limitedBuffer{most: maxReport}, &limitedBuffer{most: maxMessage}
	cmd := exec.CommandContext(limited, e.path, Subcommand) //nolint:gosec // the operator names the program
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), output, message
	cmd.Dir, cmd.Env = dir, []string{"HOME=" + dir, "TMPDIR=" + dir, "TMP=" + dir}
	cmd.WaitDelay = endTime
	err = cmd.Run()
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case limited.Err() != nil:
		return nil, fmt.Errorf("osv-scanner did not end within %v", e.options.Timeout)
	case output.cut:
		return nil, fmt.Errorf("osv-scanner reported more than %d bytes", maxReport)
	case err != nil:
		return nil, fmt.Errorf("osv-scanner failed: %w: %s", err, event.Printable(message.String(), maxMessage))
	}
	var report Report
	if err := json.Unmarshal(output.Bytes(), &report); err != nil {
		return nil, fmt.Errorf("read the report of osv-scanner: %w", err)
	}
	return &report, nil
}

// limitedBuffer keeps the first bytes that are written to it.
type limitedBuffer struct {
	bytes.Buffer
	most int
	cut  bool
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	free := b.most - b.Len()
	b.cut = b.cut || len(p) > free
	_, err := b.Buffer.Write(p[:min(len(p), free)])
	return len(p), err
}
