// Package image scans the images of running containers: it asks Docker which images they run, exports one to a temporary
// file and reads the packages in it.
package image

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// DefaultMaxBytes is the size of an exported image above which it is not scanned.
const DefaultMaxBytes = 8 << 30

// temporaryFiles matches the names of exported images.
const temporaryFiles = "image-*.tar"

// Options says where and how much Scan exports.
type Options struct {
	// Folder takes the exported image, one at a time per Scan. It must exist and belong to this process alone: New removes what an
	// earlier process left in it.
	Folder string
	// MaxBytes bounds the exported archive; 0 is DefaultMaxBytes.
	MaxBytes int64
	// Read returns the packages of an archive as docker save writes it, such as extract.Extractor.ImageArchive.
	Read func(ctx context.Context, path string) (*inventory.Inventory, error)
}

// Scanner scans images of one dockerd. Its methods may be called concurrently.
type Scanner struct {
	docker  *docker.Client
	options Options
}

// New returns a scanner of the images of dockerd, and removes exported images that a killed process left in the folder. The
// error is about the folder.
func New(dockerd *docker.Client, o Options) (*Scanner, error) {
	o.MaxBytes = cmp.Or(o.MaxBytes, DefaultMaxBytes)
	left, err := fs.Glob(os.DirFS(o.Folder), temporaryFiles)
	for _, name := range left {
		err = errors.Join(err, os.Remove(filepath.Join(o.Folder, name)))
	}
	if err != nil {
		return nil, fmt.Errorf("remove exported images of an earlier run: %w", err)
	}
	return &Scanner{docker: dockerd, options: o}, nil
}

// Images returns the images that containers run now, paused ones included, by digest, each with its containers by id. An image
// without a reference is named by its digest. The errors are those of package docker.
func (s *Scanner) Images(ctx context.Context) ([]inventory.Asset, error) {
	all, err := s.docker.List(ctx)
	if err != nil {
		return nil, err
	}
	running := slices.DeleteFunc(all, func(c docker.Container) bool { return !c.Running })
	return assets(running), nil
}

// Container returns the image of one container, running or not, found by name, by full id or by the beginning of an id, with
// all containers that run this image. The error names the container if there is none or more than one.
func (s *Scanner) Container(ctx context.Context, name string) (inventory.Asset, error) {
	all, err := s.docker.List(ctx)
	if err != nil {
		return inventory.Asset{}, err
	}
	found, err := find(all, name)
	if err != nil {
		return inventory.Asset{}, err
	}
	same := slices.DeleteFunc(all, func(c docker.Container) bool { return c.ImageID != found.ImageID || !c.Running && c.ID != found.ID })
	return assets(same)[0], nil
}

func find(all []docker.Container, name string) (docker.Container, error) {
	const shortest = 4 // digits of an id that are worth a guess
	var found []docker.Container
	for _, c := range all {
		switch {
		case c.Name == name || c.ID == name:
			return c, nil
		case len(name) >= shortest && strings.HasPrefix(c.ID, name):
			found = append(found, c)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return docker.Container{}, fmt.Errorf("there is no container %q", name)
	}
	return docker.Container{}, fmt.Errorf("%d containers have ids that begin with %q: give more of the id", len(found), name)
}

// assets groups containers by their image.
func assets(containers []docker.Container) []inventory.Asset {
	byDigest := map[string]inventory.Asset{}
	slices.SortFunc(containers, func(a, b docker.Container) int { return cmp.Compare(a.ID, b.ID) })
	for _, c := range containers {
		a, known := byDigest[c.ImageID]
		if !known {
			a = inventory.Asset{Kind: inventory.Image, Digest: c.ImageID}
		}
		if a.Name == "" || c.Image < a.Name { // the same name in whatever order they were started
			a.Name = c.Image
		}
		a.Containers = append(a.Containers, event.Container{ID: c.ID, Name: c.Name, Image: c.Image})
		byDigest[c.ImageID] = a
	}
	out := make([]inventory.Asset, 0, len(byDigest))
	for _, a := range byDigest {
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b inventory.Asset) int { return cmp.Compare(a.Digest, b.Digest) })
	return out
}

// Scan exports the image of an asset that Images or Container returned and returns its packages, with that asset and, as the
// time, the image's creation. The exported file is removed before Scan returns. ctx bounds the export, which may take minutes.
// The errors are those of package docker, docker.ErrTooLarge for an image of more than MaxBytes, those of the folder, and those
// of Read.
func (s *Scanner) Scan(ctx context.Context, asset inventory.Asset) (*inventory.Inventory, error) {
	image, err := s.docker.Image(ctx, asset.Digest)
	if err != nil {
		return nil, fmt.Errorf("image %q: %w", asset.Name, err)
	}
	if image.Size > s.options.MaxBytes {
		return nil, fmt.Errorf("image %q of %d bytes: %w: more than %d", asset.Name, image.Size, docker.ErrTooLarge, s.options.MaxBytes)
	}
	found, err := s.read(ctx, image.ID)
	if err != nil {
		return nil, fmt.Errorf("image %q: %w", asset.Name, err)
	}
	found.Asset = asset
	if !image.Created.IsZero() {
		found.Time = image.Created
	}
	return found, nil
}

// read exports an image to a file, which only this process may read, and removes it.
func (s *Scanner) read(ctx context.Context, id string) (found *inventory.Inventory, err error) {
	file, err := os.CreateTemp(s.options.Folder, temporaryFiles)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.Remove(file.Name())) }()
	if err := errors.Join(s.export(ctx, id, file), file.Close()); err != nil {
		return nil, err
	}
	return s.options.Read(ctx, file.Name())
}

func (s *Scanner) export(ctx context.Context, id string, w io.Writer) error {
	return s.docker.ExportImage(ctx, id, s.options.MaxBytes, w)
}
