package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/services/sbomscanner/extract"
	"github.com/ironpost/ironpost/services/sbomscanner/image"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// readInventory returns the packages of the target and shows progress on a terminal.
func (a *app) readInventory(ctx context.Context, target scanTarget, f scanFlags) (*inventory.Inventory, error) {
	bar := &progress{w: a.err}
	defer bar.clear()
	extractor, err := extract.New(extract.Options{Exclude: f.exclude, Skip: ownDocument(target, f.sbom), Progress: func(p extract.Progress) {
		bar.show(fmt.Sprintf("%d files seen, %d read", p.Visited, p.Parsed), time.Now())
	}})
	if err != nil {
		return nil, usageError(err)
	}
	switch {
	case target.container != "":
		return a.readContainer(ctx, target.container, extractor.ImageArchive)
	case target.kind == inventory.Directory:
		return extractor.Directory(ctx, target.path)
	case target.kind == inventory.Document:
		return extractor.Document(ctx, target.path)
	}
	return extractor.ImageArchive(ctx, target.path)
}

// ownDocument returns the file to which the scan writes its SBOM document if it is in the scanned folder: what an earlier scan wrote
// there would be found again, also after it is fixed.
func ownDocument(target scanTarget, file string) []string {
	if target.kind != inventory.Directory || file == "" || file == "-" {
		return nil
	}
	folder, err := filepath.EvalSymlinks(target.path)
	if err != nil {
		return nil // the scan reports it
	}
	absolute, err := filepath.Abs(file)
	if err != nil {
		return nil
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(absolute))
	if err != nil {
		return nil // it cannot be there yet
	}
	below, err := filepath.Rel(folder, filepath.Join(parent, filepath.Base(absolute)))
	if err != nil {
		return nil
	}
	return []string{filepath.Join(target.path, below)}
}

// readContainer exports the image of a container to a temporary folder and reads it.
func (a *app) readContainer(ctx context.Context, name string, read func(context.Context, string) (*inventory.Inventory, error)) (inv *inventory.Inventory, err error) {
	cfg, _, err := a.loadConfig()
	if err != nil {
		return nil, configError(err)
	}
	client, err := docker.Connect(cmp.Or(cfg.SBOM.DockerSocket, cfg.Container.DockerSocket))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	folder, err := os.MkdirTemp("", "ironpost-scan-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	images, err := image.New(client, image.Options{Folder: folder, Read: read})
	if err != nil {
		return nil, err
	}
	asset, err := images.Container(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("container %s: %w", name, err)
	}
	return images.Scan(ctx, asset)
}
