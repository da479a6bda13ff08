// Package extract finds the packages of an asset: of a folder, of an image archive and of an SBOM document. The files
// are parsed by osv-scalibr's extractors and by the readers of this package. All input is untrusted: what is
// read has limits on size, count, depth and time, links never lead outside the asset, and a file that cannot be read
// costs one problem of the inventory, never the scan.
package extract

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/osv-scalibr/extractor/filesystem"

	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// Options are what a caller may choose. The zero value is usable.
type Options struct {
	// Exclude are patterns in the syntax of .gitignore, relative to the scanned folder. What matches is not read.
	Exclude []string
	// Skip are absolute paths of folders and files that are never read, such as the daemon's own data folder.
	Skip []string
	// NoGitignore has files read that a .gitignore excludes.
	NoGitignore bool
	// TempDir is where layers of images are unpacked; empty means the system's.
	TempDir string
	// Limits bound every scan; zero values mean the defaults.
	Limits Limits
	// Cache, if set, keeps what the files of folders contain, so that unchanged files are not read again.
	Cache *Cache
	// Progress, if set, is called now and then from the goroutine that scans.
	Progress func(Progress)
}

// Progress is how far a scan is.
type Progress struct {
	Visited int    // files and folders seen
	Parsed  int    // files parsed
	Cached  int    // files whose packages came from the cache
	Path    string // the file parsed last, relative to the asset
}

// Extractor reads assets. Its methods may be called concurrently.
type Extractor struct {
	options Options
	parsers []parser
	exclude []ignorePattern
	settled time.Duration
}

// New returns an Extractor. It fails on a pattern or folder that cannot be used.
func New(options Options) (*Extractor, error) {
	options.Limits = options.Limits.withDefaults()
	exclude, err := excludePatterns(options.Exclude)
	if err != nil {
		return nil, err
	}
	for _, path := range options.Skip {
		if !filepath.IsAbs(path) {
			return nil, fmt.Errorf("what to skip must be an absolute path: %q", path)
		}
	}
	parsers, err := allParsers()
	if err != nil {
		return nil, err
	}
	silence()
	return &Extractor{options: options, parsers: parsers, exclude: exclude, settled: settled}, nil
}

// Directory returns the packages that the files below path name. The error is that of the folder itself or of ctx; what
// could not be read inside is in the inventory.
func (e *Extractor) Directory(ctx context.Context, path string) (*inventory.Inventory, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // only read
	return e.run(ctx, inventory.Asset{Kind: inventory.Directory, Name: path}, func(s *scan) error {
		w := walker{
			scan: s, root: root, dir: path, skip: relativeTo(path, e.options.Skip),
			cache: e.options.Cache, seen: map[string]bool{}, settled: e.settled,
		}
		return w.walk()
	})
}

// run calls read with a scan of asset and returns its inventory. A scan that takes longer than the limit ends with what
// was found until then.
func (e *Extractor) run(ctx context.Context, asset inventory.Asset, read func(*scan) error) (*inventory.Inventory, error) {
	limited, cancel := context.WithTimeout(ctx, e.options.Limits.Time)
	defer cancel()
	s := newScan(limited, e, asset)
	err := read(s)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if errors.Is(err, context.DeadlineExceeded) || limited.Err() != nil {
		s.skip("", tookTooLong, fmt.Sprintf("stopped after %v", e.options.Limits.Time.Round(time.Millisecond)))
		err = nil
	}
	if err != nil {
		return nil, err
	}
	s.report()
	return s.inventory(), nil
}

// parsersOf returns the parsers that read the file.
func (e *Extractor) parsersOf(file filesystem.FileAPI) (parsers []parser) {
	for _, p := range e.parsers {
		if p.FileRequired(file) {
			parsers = append(parsers, p)
		}
	}
	return parsers
}
