package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
)

// Limits of the archive itself, which has a handful of entries for each layer.
const (
	maxEntries  = 10_000
	maxDocument = 4 << 20 // manifests and configurations
	maxLinks    = 4       // links from link to link
)

// source is the bytes of an archive.
type source interface {
	io.ReaderAt
	io.ReadSeeker
}

// contents are the entries of an archive by their path.
type contents struct {
	source  source
	entries map[string]entry
}

// entry is a file of the archive, or a link to one, as docker save writes for layers it has twice.
type entry struct {
	offset, size int64
	link         string
}

// index returns where the files of the archive are.
func index(ctx context.Context, from source) (*contents, error) {
	found := &contents{source: from, entries: map[string]entry{}}
	reader := tar.NewReader(from)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			if len(found.entries) == 0 {
				return nil, ErrNotAnImage
			}
			return nil, fmt.Errorf("archive: %w", err)
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if len(found.entries) >= maxEntries {
			return nil, fmt.Errorf("archive %w of %d entries", ErrTooMany, maxEntries)
		}
		name := clean(header.Name)
		switch header.Typeflag {
		case tar.TypeReg:
			// The reader has read whole blocks up to the data and nothing of it.
			offset, err := from.Seek(0, io.SeekCurrent)
			if err != nil {
				return nil, err
			}
			found.entries[name] = entry{offset: offset, size: header.Size}
		case tar.TypeSymlink:
			found.entries[name] = entry{link: clean(path.Join(path.Dir(name), header.Linkname))} //nolint:gosec // a name in this list, never one of a file on the disk
		case tar.TypeLink:
			found.entries[name] = entry{link: clean(header.Linkname)}
		}
	}
}

// clean returns a path of a tar header without a leading slash and without any "..".
func clean(name string) string { return path.Clean("/" + name)[1:] }

// section returns the bytes of an entry.
func (c *contents) section(name string) (*io.SectionReader, error) {
	name = clean(name)
	for range maxLinks {
		e, ok := c.entries[name]
		if !ok {
			return nil, fmt.Errorf("archive has no file %q", name)
		}
		if e.link == "" {
			return io.NewSectionReader(c.source, e.offset, e.size), nil
		}
		name = e.link
	}
	return nil, fmt.Errorf("archive has a chain of links at %q", name)
}

// document returns the content of a small entry.
func (c *contents) document(name string) ([]byte, error) {
	section, err := c.section(name)
	if err != nil {
		return nil, err
	}
	if section.Size() > maxDocument {
		return nil, fmt.Errorf("%q in the archive has %d bytes; the limit is %d", name, section.Size(), maxDocument)
	}
	return io.ReadAll(section)
}
