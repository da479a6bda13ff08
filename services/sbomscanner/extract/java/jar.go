// Package java reads Java archives and Maven project files. It replaces the extractors of osv-scalibr, which need a
// gRPC client and, for archives, memory for all that is nested in them.
package java

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// ErrTooLarge means that an archive has more in it than the limits.
var ErrTooLarge = errors.New("unpacks to more than the limit")

// Limits of one archive.
const (
	maxDepth     = 6        // archives in archives
	maxDirectory = 12 << 20 // bytes of a zip's directory: some 200,000 names
	maxLive      = 48 << 20 // bytes of nested archives in memory at once
	maxUnpacked  = 1 << 30  // bytes of nested archives in all
	maxMetadata  = 256 << 10
	maxPackages  = 10_000
)

// IsArchive reports whether a file with this name is a Java archive.
func IsArchive(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".jar", ".war", ".ear", ".par", ".sar", ".jpi", ".hpi", ".lpkg", ".nar", ".kar", ".rar":
		return true
	}
	return false
}

// archive is one run over an archive and what is nested in it.
type archive struct {
	ctx      context.Context //nolint:containedctx // one run, one context
	packages []inventory.Package
	problems []error
	live     int64
	unpacked int64
}

// Archive returns the packages of the Java archive called name and of those nested in it. Packages are returned
// together with an error when a part could not be read; limits are ErrTooLarge.
func Archive(ctx context.Context, from io.ReaderAt, size int64, name string) ([]inventory.Package, error) {
	a := &archive{ctx: ctx}
	a.read(from, size, name, 1)
	return a.packages, errors.Join(a.problems...)
}

func (a *archive) fail(name string, err error) {
	if len(a.problems) < 3 {
		a.problems = append(a.problems, fmt.Errorf("%s: %w", name, err))
	}
}

// read takes the packages of one archive.
func (a *archive) read(from io.ReaderAt, size int64, name string, depth int) {
	directory := &bounded{from: from, left: maxDirectory}
	opened, err := zip.NewReader(directory, size)
	if err != nil {
		a.fail(name, err)
		return
	}
	directory.left = 1 << 62 // what follows is bounded otherwise
	var own []identity
	var manifest identity
	for _, f := range opened.File {
		if a.ctx.Err() != nil {
			a.fail(name, context.Cause(a.ctx))
			return
		}
		switch {
		case path.Base(f.Name) == "pom.properties" && strings.HasPrefix(f.Name, "META-INF/maven/"):
			if id := a.metadata(f, pomProperties); id.complete() {
				own = append(own, id)
			}
		case strings.EqualFold(f.Name, "META-INF/MANIFEST.MF"):
			manifest = a.metadata(f, manifestIdentity)
		case IsArchive(f.Name):
			a.nested(from, f, name+"!/"+f.Name, depth+1)
		}
	}
	if len(own) == 0 {
		own = guess(name, manifest)
	}
	for _, id := range own {
		a.add(id)
	}
}

func (a *archive) add(id identity) {
	p, err := inventory.NewPackage("maven", id.group+":"+id.artifact, id.version, nil)
	if err != nil || slices.ContainsFunc(a.packages, func(q inventory.Package) bool { return q.PURL == p.PURL }) {
		return
	}
	if len(a.packages) >= maxPackages {
		a.fail(id.artifact, ErrTooLarge)
		return
	}
	a.packages = append(a.packages, p)
}

// metadata returns what a small file in the archive says.
func (a *archive) metadata(f *zip.File, parse func([]byte) identity) identity {
	r, err := f.Open()
	if err != nil {
		a.fail(f.Name, err)
		return identity{}
	}
	defer func() { _ = r.Close() }() // only read
	content, err := io.ReadAll(io.LimitReader(r, maxMetadata))
	if err != nil {
		a.fail(f.Name, err)
		return identity{}
	}
	return parse(content)
}

// nested reads an archive in an archive: from where it lies if it is stored, else from memory.
func (a *archive) nested(from io.ReaderAt, f *zip.File, name string, depth int) {
	if depth > maxDepth {
		a.fail(name, fmt.Errorf("%w of %d archives in archives", ErrTooLarge, maxDepth))
		return
	}
	if f.Method == zip.Store {
		if offset, err := f.DataOffset(); err == nil {
			size := int64(f.UncompressedSize64)
			a.read(io.NewSectionReader(from, offset, max(0, size)), max(0, size), name, depth)
			return
		}
	}
	content, err := a.unpack(f)
	if err != nil {
		a.fail(name, err)
		return
	}
	a.live += int64(len(content))
	a.read(bytes.NewReader(content), int64(len(content)), name, depth)
	a.live -= int64(len(content))
}

// unpack returns the content of a nested archive.
func (a *archive) unpack(f *zip.File) ([]byte, error) {
	room := min(maxLive-a.live, maxUnpacked-a.unpacked)
	if f.UncompressedSize64 > uint64(max(0, room)) {
		return nil, fmt.Errorf("%w of %d bytes", ErrTooLarge, room)
	}
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }() // only read
	content := bytes.NewBuffer(make([]byte, 0, min(f.UncompressedSize64, 64*f.CompressedSize64)+bytes.MinRead))
	if _, err := content.ReadFrom(io.LimitReader(r, room+1)); err != nil {
		return nil, err
	}
	a.unpacked += int64(content.Len())
	if int64(content.Len()) > room {
		return nil, fmt.Errorf("%w of %d bytes", ErrTooLarge, room)
	}
	return content.Bytes(), nil
}

// bounded fails once more than left bytes are read.
type bounded struct {
	from io.ReaderAt
	left int64
}

func (b *bounded) ReadAt(p []byte, offset int64) (int, error) {
	b.left -= int64(len(p))
	if b.left < 0 {
		return 0, fmt.Errorf("directory %w of %d bytes", ErrTooLarge, maxDirectory)
	}
	return b.from.ReadAt(p, offset)
}
