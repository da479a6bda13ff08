// Package image reads container images from tar archives, as docker save and tools for OCI image layouts write them,
// without unpacking them to folders: files are read from where they lie in the archive, and only files of compressed
// layers that the caller wants are copied to one temporary file. Layers are merged as the OCI image specification
// says (whiteouts, opaque whiteouts, replaced folders); every earlier state stays readable. Names from the archive never become paths
// of the host.
package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Errors that callers tell apart.
var (
	// ErrNotAnImage is the error for a file that is no image archive.
	ErrNotAnImage = errors.New("is not an image archive: it has neither manifest.json nor index.json; write one with docker save")
	// ErrTooMany means that the image has more files or layers than the limit.
	ErrTooMany = errors.New("has more files than the limit")
	// ErrTooDeep means that a file lies below more folders than the limit.
	ErrTooDeep = errors.New("is below more folders than the limit")
	// ErrDecompression means that a layer unpacks to more than the limits.
	ErrDecompression = errors.New("unpacks to more than the limit")
)

// Options say what to read of an image. All fields must be set.
type Options struct {
	// Want reports whether the file called name may be read later. It is called for every regular file of every layer.
	Want func(name string, info fs.FileInfo) bool
	// Visit is called for every entry of every layer. Its error ends Open.
	Visit func(name string) error
	// Problem is told what could not be read.
	Problem func(name string, err error)
	// TempDir is the folder for the temporary file; empty means the system's.
	TempDir string
	Limits  Limits
}

// Limits bound what is read.
type Limits struct {
	Layers        int
	Files         int   // wanted files and their folders, in all layers together
	Depth         int   // folders below each other
	UnpackedBytes int64 // bytes that compressed layers unpack to
	StoredBytes   int64 // bytes of the temporary file
	Ratio         int64 // unpacked bytes for each compressed one, once 16 MiB are unpacked
}

// Image is an opened archive. Its methods may be called concurrently until Close.
type Image struct {
	ID     string   // sha256:… of the configuration
	Names  []string // references, such as nginx:1.27
	Layers []string // diff ids, lowest first

	files   *node
	archive *os.File
	spool   *spool
}

// Open reads the archive at path, which must be a regular file. An archive with several images is an error.
func Open(ctx context.Context, path string, options Options) (*Image, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, ErrNotAnImage
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	image := &Image{archive: file, files: &node{}, spool: &spool{dir: options.TempDir, limits: options.Limits}}
	if err := image.read(ctx, options); err != nil {
		return nil, errors.Join(err, image.Close())
	}
	return image, nil
}

func (i *Image) read(ctx context.Context, options Options) error {
	source, err := i.uncompressed(ctx)
	if err != nil {
		return err
	}
	contents, err := index(ctx, source)
	if err != nil {
		return err
	}
	m, err := contents.manifest()
	if err != nil {
		return err
	}
	if len(m.layers) > options.Limits.Layers {
		return fmt.Errorf("%w: %d layers; the limit is %d", ErrTooMany, len(m.layers), options.Limits.Layers)
	}
	digest := sha256.Sum256(m.config)
	i.ID, i.Names, i.Layers = "sha256:"+hex.EncodeToString(digest[:]), m.names, m.diffIDs
	reader := layerReader{ctx: ctx, image: i, options: options, left: options.Limits.Files}
	for n, section := range m.layers {
		err := reader.read(n, section)
		if errors.Is(err, errStop) || ctx.Err() != nil {
			return errors.Join(context.Cause(ctx), errors.Unwrap(err))
		}
		if err != nil {
			options.Problem(fmt.Sprintf("layer %s", m.diffIDs[n]), err)
		}
	}
	return nil
}

// Close closes the archive and removes the temporary file.
func (i *Image) Close() error { return errors.Join(i.spool.close(), i.archive.Close()) }
