package extract

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/sbomscanner/extract/bom"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// Document returns the packages that an SBOM document names: CycloneDX in JSON or XML, SPDX 2 in JSON or as tag-value. Unlike
// a file in a folder, a document that cannot be read is an error.
func (e *Extractor) Document(ctx context.Context, path string) (*inventory.Inventory, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	content, err := e.readDocument(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("SBOM document %q: %w", path, err)
	}
	digest := sha256.Sum256(content)
	asset := inventory.Asset{Kind: inventory.Document, Name: path, Digest: "sha256:" + hex.EncodeToString(digest[:])}
	return e.run(ctx, asset, func(s *scan) error {
		var document bom.Document
		err := task.Call(s.ctx, "SBOM document", func(context.Context) (err error) {
			document, err = bom.Read(content)
			return err
		})
		if err != nil {
			return fmt.Errorf("SBOM document %q: %w", path, err)
		}
		for i := range document.Packages {
			document.Packages[i].Locations = []string{filepath.Base(path)}
		}
		for range document.Unnamed {
			s.skip(filepath.Base(path), unnamed, "component has no usable package URL")
		}
		s.add(document.Packages)
		return nil
	})
}

func (e *Extractor) readDocument(ctx context.Context, path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|nonBlocking, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is not a regular file")
	}
	limits := e.options.Limits
	content, err := io.ReadAll(&cancelledFile{readerFile{f, io.LimitReader(f, limits.TextBytes+1)}, ctx})
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > limits.TextBytes {
		return nil, fmt.Errorf("%w of %d bytes", errTooLarge, limits.TextBytes)
	}
	if tokens, nesting := measure(path, content); tokens > limits.Tokens || nesting > limits.Nesting {
		return nil, errTooComplex
	}
	return content, nil
}
