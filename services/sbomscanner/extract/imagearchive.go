package extract

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"

	"github.com/ironpost/ironpost/services/sbomscanner/extract/image"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// ImageArchive returns the packages of a container image in a tar archive: what docker save writes, or an OCI image
// layout. Each package has the diff id of the layer that brought it. The name of the asset is the image's first
// reference, or the path of the archive.
func (e *Extractor) ImageArchive(ctx context.Context, path string) (*inventory.Inventory, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	return e.run(ctx, inventory.Asset{Kind: inventory.Image, Name: path}, func(s *scan) error {
		opened, err := image.Open(s.ctx, path, s.imageOptions())
		if err != nil {
			return fmt.Errorf("image archive %q: %w", path, err)
		}
		defer func() { _ = opened.Close() }() // only read
		s.result.Asset.Digest = opened.ID
		if len(opened.Names) > 0 {
			s.result.Asset.Name = opened.Names[0]
		}
		return s.image(opened)
	})
}

func (s *scan) imageOptions() image.Options {
	l := s.limits
	return image.Options{
		Want: func(name string, info fs.FileInfo) bool {
			return isReferred(name) || len(s.extractor.parsersOf(candidate{name, func() (fs.FileInfo, error) { return info, nil }})) > 0
		},
		Visit: func(name string) error {
			if s.visited() {
				return nil
			}
			return cmp.Or(s.ctx.Err(), fmt.Errorf("image %w of %d", image.ErrTooMany, l.Files))
		},
		Problem: func(name string, err error) { s.skip(name, reasonOfImage(err), err.Error()) },
		TempDir: s.extractor.options.TempDir,
		Limits: image.Limits{
			Layers: l.Layers, Files: l.WantedFiles, Depth: l.Depth,
			UnpackedBytes: l.UnpackedBytes, StoredBytes: l.StoredBytes, Ratio: l.Ratio,
		},
	}
}

func reasonOfImage(err error) string {
	switch {
	case errors.Is(err, image.ErrDecompression):
		return decompression
	case errors.Is(err, image.ErrTooMany):
		return tooMany
	case errors.Is(err, image.ErrTooDeep):
		return tooDeep
	}
	return malformed
}

// isReferred reports whether parsers may look at the file while they parse another one.
func isReferred(name string) bool {
	switch path.Base(name) {
	case "go.sum", "os-release":
		return true
	}
	return slices.Contains([]string{".txt", ".in"}, path.Ext(name)) // what requirements files include
}

// imageTree is an image as it is seen from one of its layers.
type imageTree struct {
	image *image.Image
	top   int
}

func (t imageTree) open(name string) (file, error) { return t.image.Open(name, t.top) }

// stat describes a file. Images keep no folders; the one that is asked for, by the reader of os-release, is in every
// image of a distribution.
func (t imageTree) stat(name string) (fs.FileInfo, error) {
	if name == "etc" {
		return memoryInfo{name: name}, nil
	}
	return t.image.Stat(name, t.top)
}

// image reads the files of an image.
func (s *scan) image(i *image.Image) error {
	byLayer := make([][]inventory.Package, len(i.Layers))
	for name, layers := range i.Files() {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		for layer, packages := range s.layered(i, name, layers) {
			byLayer[layer] = append(byLayer[layer], packages...)
		}
	}
	for _, packages := range byLayer {
		s.add(packages) // a package that several layers have is that of the lowest
	}
	return nil
}

// layered returns the packages of one file by the layer that brought them. A file that several layers changed, such
// as the database of dpkg, is read as each left it: a package belongs to the lowest layer from which on it is there.
func (s *scan) layered(i *image.Image, name string, layers []int) map[int][]inventory.Package {
	newest := layers[len(layers)-1]
	packages := s.readAt(i, name, newest)
	since := make(map[string]int, len(packages))
	for _, p := range packages {
		since[p.PURL] = newest
	}
	above := newest
	for _, layer := range slices.Backward(layers[:len(layers)-1]) {
		for _, p := range s.readAt(i, name, layer) {
			if since[p.PURL] == above {
				since[p.PURL] = layer
			}
		}
		above = layer
	}
	found := map[int][]inventory.Package{}
	for _, p := range packages {
		layer := since[p.PURL]
		p.Layer = i.Layers[layer]
		found[layer] = append(found[layer], p)
	}
	return found
}

func (s *scan) readAt(i *image.Image, name string, layer int) []inventory.Package {
	info, err := i.Stat(name, layer)
	if err != nil {
		return nil
	}
	parsers := s.extractor.parsersOf(candidate{name, func() (fs.FileInfo, error) { return info, nil }})
	if len(parsers) == 0 || s.ctx.Err() != nil {
		return nil
	}
	result := s.read(imageTree{i, layer}, name, info.Size(), parsers)
	if result.reason != "" && s.ctx.Err() == nil {
		s.skip(name, result.reason, result.detail)
	}
	return result.packages
}
