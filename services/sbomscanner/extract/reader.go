package extract

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"

	scalibr "github.com/google/osv-scalibr/extractor"
	"github.com/google/osv-scalibr/extractor/filesystem"
	found "github.com/google/osv-scalibr/inventory"
	"github.com/google/osv-scalibr/plugin"

	"github.com/ironpost/ironpost/services/sbomscanner/extract/bom"
	"github.com/ironpost/ironpost/services/sbomscanner/extract/java"
	"github.com/ironpost/ironpost/services/sbomscanner/extract/lockfile"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// reader is a parser of this project in the form of a scalibr extractor.
type reader struct {
	name  string
	wants func(name string) bool // whether it reads the file at this path
	read  func(context.Context, *filesystem.ScanInput) ([]inventory.Package, error)
}

// Name, Version and Requirements are for scalibr.
func (r reader) Name() string                           { return r.name }
func (reader) Version() int                             { return 0 }
func (reader) Requirements() *plugin.Capabilities       { return &plugin.Capabilities{} }
func (r reader) FileRequired(f filesystem.FileAPI) bool { return r.wants(f.Path()) }

// Extract returns what read returns.
func (r reader) Extract(ctx context.Context, in *filesystem.ScanInput) (found.Inventory, error) {
	packages, err := r.read(ctx, in)
	if v, ok := in.FS.(*view); ok && errors.Is(err, java.ErrTooLarge) {
		v.failure = errors.Join(v.failure, err)
	}
	out := found.Inventory{}
	for _, p := range packages {
		out.Packages = append(out.Packages, &scalibr.Package{Name: p.Name, Version: p.Version, Metadata: native{p}})
	}
	return out, err
}

// native carries a package as the readers of this project make it through scalibr.
type native struct{ inventory.Package }

// IsProtoable marks native as metadata of scalibr.
func (native) IsProtoable() {}

// whole is a read function for a parser that takes the whole content.
func whole(parse func([]byte) ([]inventory.Package, error)) func(context.Context, *filesystem.ScanInput) ([]inventory.Package, error) {
	return func(_ context.Context, in *filesystem.ScanInput) ([]inventory.Package, error) {
		content, err := io.ReadAll(in.Reader)
		if err != nil {
			return nil, err
		}
		return parse(content)
	}
}

// readers are the parsers of this project.
func readers() []reader {
	return []reader{
		{"sbom", isSBOM, whole(func(content []byte) ([]inventory.Package, error) {
			document, err := bom.Read(content)
			return document.Packages, err
		})},
		{"npm", isNPMLock, whole(lockfile.NPM)},
		{"cargo", named("Cargo.lock"), whole(lockfile.Cargo)},
		{"poetry", named("poetry.lock"), whole(lockfile.Poetry)},
		{"uv", named("uv.lock"), whole(lockfile.UV)},
		{"maven", func(name string) bool { return named("pom.xml")(name) || path.Ext(name) == ".pom" }, readProject},
	}
}

// named wants files with this name.
func named(base string) func(string) bool {
	return func(name string) bool { return path.Base(name) == base }
}

// isNPMLock leaves out lock files of installed packages, which say nothing about what is installed.
func isNPMLock(name string) bool {
	base := path.Base(name)
	return (base == "package-lock.json" || base == "npm-shrinkwrap.json") && !strings.Contains("/"+name, "/node_modules/")
}

func readProject(_ context.Context, in *filesystem.ScanInput) ([]inventory.Package, error) {
	content, err := io.ReadAll(in.Reader)
	if err != nil {
		return nil, err
	}
	return java.Project(content, in.Path, func(name string) ([]byte, error) { return fs.ReadFile(in.FS, name) })
}

// javaReader reads archives, at offsets.
func javaReader() reader {
	return reader{"jar", java.IsArchive, func(ctx context.Context, in *filesystem.ScanInput) ([]inventory.Package, error) {
		at, ok := in.Reader.(io.ReaderAt)
		if !ok {
			return nil, errors.ErrUnsupported
		}
		return java.Archive(ctx, at, in.Info.Size(), in.Path)
	}}
}

// isSBOM knows the file names that the specifications of CycloneDX and SPDX recommend.
func isSBOM(name string) bool {
	base := strings.ToLower(path.Base(name))
	for _, suffix := range []string{".cdx.json", ".cdx.xml", ".spdx.json", ".spdx"} {
		if strings.HasSuffix(base, suffix) {
			return true
		}
	}
	return base == "bom.json" || base == "bom.xml"
}
