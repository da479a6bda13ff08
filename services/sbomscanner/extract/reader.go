package extract

import (
	"context"
	"io"
	"path"
	"strings"

	scalibr "github.com/google/osv-scalibr/extractor"
	"github.com/google/osv-scalibr/extractor/filesystem"
	found "github.com/google/osv-scalibr/inventory"
	"github.com/google/osv-scalibr/plugin"

	"github.com/ironpost/ironpost/services/sbomscanner/extract/bom"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// reader is a parser of this project in the form of a scalibr extractor.
type reader struct {
	name  string
	wants func(base string) bool // whether it reads files with this name
	read  func(context.Context, *filesystem.ScanInput) ([]inventory.Package, error)
}

// Name, Version and Requirements are for scalibr.
func (r reader) Name() string                           { return r.name }
func (reader) Version() int                             { return 0 }
func (reader) Requirements() *plugin.Capabilities       { return &plugin.Capabilities{} }
func (r reader) FileRequired(f filesystem.FileAPI) bool { return r.wants(path.Base(f.Path())) }

// Extract returns what read returns.
func (r reader) Extract(ctx context.Context, in *filesystem.ScanInput) (found.Inventory, error) {
	packages, err := r.read(ctx, in)
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

func readers() []filesystem.Extractor {
	return []filesystem.Extractor{
		reader{"sbom", isSBOM, whole(func(content []byte) ([]inventory.Package, error) {
			document, err := bom.Read(content)
			return document.Packages, err
		})},
	}
}

// isSBOM knows the file names that the specifications of CycloneDX and SPDX recommend.
func isSBOM(base string) bool {
	base = strings.ToLower(base)
	for _, suffix := range []string{".cdx.json", ".cdx.xml", ".spdx.json", ".spdx"} {
		if strings.HasSuffix(base, suffix) {
			return true
		}
	}
	return base == "bom.json" || base == "bom.xml"
}
