package advisory

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ironpost/ironpost/internal/atomicfile"
)

const (
	manifestName    = "manifest.json"
	indexFolder     = "index"
	stagingFolder   = "staging"
	manifestVersion = 1
	maxManifest     = 16 << 20
)

// errVersion is not damage: the database is not replaced by an import of this program.
var errVersion = errors.New("the vulnerability database was made by another version of this program")

// manifest names the index files of the current generation and of the one before. Replacing it is the moment in which an import
// takes effect, and a rollback too.
type manifest struct {
	Version  int         `json:"version"`
	Current  Generation  `json:"current"`
	Previous *Generation `json:"previous,omitempty"`
}

// readManifest returns an empty manifest, and no file information, if there is none.
func readManifest(root *os.Root) (*manifest, os.FileInfo, error) {
	file, err := openRegular(root, manifestName)
	if errors.Is(err, fs.ErrNotExist) {
		return &manifest{Version: manifestVersion}, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		return nil, nil, err
	}
	b, err := io.ReadAll(io.LimitReader(file, maxManifest+1))
	if err != nil {
		return nil, nil, err
	}
	m, err := parseManifest(b)
	if errors.Is(err, errVersion) {
		return nil, nil, fmt.Errorf("%s: %w", filepath.Join(root.Name(), manifestName), err)
	}
	if err != nil {
		return nil, nil, &CorruptError{File: filepath.Join(root.Name(), manifestName), Err: err}
	}
	return m, info, nil
}

func parseManifest(b []byte) (*manifest, error) {
	if len(b) > maxManifest {
		return nil, fmt.Errorf("it has more than %d bytes", maxManifest)
	}
	var m manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, err
	}
	if m.Version != manifestVersion {
		return nil, fmt.Errorf("%w: it has version %d, this one reads %d", errVersion, m.Version, manifestVersion)
	}
	for _, g := range []*Generation{&m.Current, m.Previous} {
		if g == nil {
			continue
		}
		for _, c := range g.all() {
			if c.File == "" || filepath.Base(c.File) != c.File || !filepath.IsLocal(c.File) {
				return nil, fmt.Errorf("it names the file %q", c.File)
			}
		}
	}
	return &m, nil
}

func (m *manifest) write(root *os.Root) error {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(root, manifestName, append(b, '\n'), fileMode)
}

// openRegular opens a file for reading that must not be a link or anything else but a file.
func openRegular(root *os.Root, name string) (*os.File, error) {
	file, err := root.OpenFile(name, os.O_RDONLY|noFollow|nonBlock, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", filepath.Join(root.Name(), name))
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}
