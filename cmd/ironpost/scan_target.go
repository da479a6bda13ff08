package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// scanTarget is what scan reads.
type scanTarget struct {
	kind      inventory.Kind
	path      string // of a directory, an image archive or a document
	container string // name or id of a container instead of a path
}

const containerPrefix = "container:"

// newScanTarget finds out what argument names by what is there: a folder, an archive as docker save writes it, or an SBOM document.
func newScanTarget(argument string) (scanTarget, error) {
	if name, ok := strings.CutPrefix(argument, containerPrefix); ok {
		if name == "" {
			return scanTarget{}, usageError(errors.New("container: needs the name or id of a container, such as container:web"))
		}
		return scanTarget{kind: inventory.Image, container: name}, nil
	}
	path, err := filepath.Abs(argument)
	if err != nil {
		return scanTarget{}, err
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return scanTarget{}, fmt.Errorf("%w: scan takes a folder, an image archive, an SBOM document or container:NAME", err)
	case info.IsDir():
		return scanTarget{kind: inventory.Directory, path: path}, nil
	case !info.Mode().IsRegular():
		return scanTarget{}, fmt.Errorf("%s is neither a folder nor a regular file", argument)
	}
	kind, err := fileKind(path)
	if err != nil {
		return scanTarget{}, err
	}
	return scanTarget{kind: kind, path: path}, nil
}

// fileKind tells an archive from a document by the first bytes.
func fileKind(path string) (kind inventory.Kind, err error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	const magicAt, read = 257, 512 // the magic of a tar archive (POSIX.1-1988, ustar)
	start := make([]byte, read)
	n, err := io.ReadFull(file, start)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return "", err
	}
	start = start[:n]
	text := bytes.TrimLeft(bytes.TrimPrefix(start, []byte("\xef\xbb\xbf")), " \t\r\n")
	switch {
	case n > magicAt && bytes.HasPrefix(start[magicAt:], []byte("ustar")):
		return inventory.Image, nil
	case bytes.HasPrefix(text, []byte("{")), bytes.HasPrefix(text, []byte("<")), bytes.HasPrefix(text, []byte("SPDXVersion:")):
		return inventory.Document, nil
	case bytes.HasPrefix(start, []byte{0x1f, 0x8b}), bytes.HasPrefix(start, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return "", fmt.Errorf("%s is compressed; unpack it first: scan reads an image archive as docker save writes it", path)
	}
	return "", fmt.Errorf("%s is neither an image archive (docker save) nor an SBOM document (CycloneDX, SPDX); to scan a lock file, name its folder", path)
}
