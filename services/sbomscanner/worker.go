package sbomscanner

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/ironpost/ironpost/internal/atomicfile"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/folder"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/sbomscanner/extract"
	"github.com/ironpost/ironpost/services/sbomscanner/image"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

const (
	cacheFile    = "scan-cache.json"
	maxCacheFile = 128 << 20
)

// scanResult is what became of the scan of an asset: an inventory or an error.
type scanResult struct {
	asset     inventory.Asset
	inventory *inventory.Inventory
	err       error
}

// worker reads one asset after another.
type worker struct {
	extractor *extract.Extractor
	docker    *docker.Client // nil: images are not scanned
	images    *image.Scanner
	jobs      chan inventory.Asset
	results   chan scanResult
}

// newExtractor returns what reads assets as the configuration says, and what it keeps of unchanged files.
func newExtractor(cfg Config, deps Deps) (*extract.Extractor, *extract.Cache, error) {
	cache := loadCache(deps.DataDir)
	e, err := extract.New(extract.Options{
		Cache:   cache,
		Exclude: cfg.Exclude, NoGitignore: !cfg.UseGitignore, TempDir: filepath.Join(deps.DataDir, temporaryFolder),
		Skip:   []string{deps.DataDir, cfg.VulnDBPath},
		Limits: extract.Limits{TextBytes: int64(cfg.MaxFileSizeMB) << 20},
	})
	return e, cache, err
}

// loadCache returns what the last run saved, or an empty cache: then the first scan reads every file.
func loadCache(dir string) *extract.Cache {
	f, err := folder.OpenExisting(dir)
	if err != nil {
		return extract.NewCache()
	}
	defer func() { _ = f.Close() }() // only read
	data, err := f.Read(cacheFile, maxCacheFile)
	if err != nil {
		return extract.NewCache()
	}
	cache, err := extract.DecodeCache(data)
	if err != nil {
		return extract.NewCache()
	}
	return cache
}

// saveCache keeps the cache for the next run.
func saveCache(dir string, cache *extract.Cache) error {
	data, err := cache.Encode()
	if err != nil {
		return fmt.Errorf("save cache of scans: %w", err)
	}
	if err := atomicfile.WriteFile(filepath.Join(dir, cacheFile), data, 0o600); err != nil {
		return fmt.Errorf("save cache of scans: %w", err)
	}
	return nil
}

func newWorker(s *Service) (_ *worker, err error) {
	w := &worker{extractor: s.extractor, jobs: make(chan inventory.Asset, 1), results: make(chan scanResult)}
	if !s.cfg.Images {
		return w, nil
	}
	if w.docker, err = docker.Connect(dockerSocket(s.deps)); err != nil {
		return nil, err
	}
	w.images, err = image.New(w.docker, image.Options{Folder: filepath.Join(s.deps.DataDir, temporaryFolder), Read: w.extractor.ImageArchive})
	return w, err
}

// dockerSocket returns the socket of the Docker API.
func dockerSocket(deps Deps) string {
	if deps.DockerSocket == "" {
		return "/var/run/docker.sock"
	}
	return deps.DockerSocket
}

// close closes idle connections.
func (w *worker) close() {
	if w.docker != nil {
		w.docker.Close()
	}
}

// run reads until ctx ends.
func (w *worker) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case a := <-w.jobs:
			done := scanResult{asset: a}
			done.inventory, done.err = w.scan(ctx, a)
			select {
			case <-ctx.Done():
				return nil
			case w.results <- done:
			}
		}
	}
}

// scan reads one asset. A file that makes a parser panic costs the scan, not the module.
func (w *worker) scan(ctx context.Context, a inventory.Asset) (found *inventory.Inventory, err error) {
	err = task.Call(ctx, "extractor", func(ctx context.Context) (err error) {
		if a.Kind == inventory.Directory {
			found, err = w.extractor.Directory(ctx, a.Name)
			return err
		}
		if w.images == nil {
			return errors.New("images are not scanned")
		}
		found, err = w.images.Scan(ctx, a)
		return err
	})
	return found, err
}
