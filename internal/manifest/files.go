package manifest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// File is what a file was. Sum is empty if only its being there is known.
type File struct {
	Size int64  `json:"size"`
	Sum  string `json:"sum,omitempty"`
}

const (
	// maxHashed is the largest file whose content is remembered.
	maxHashed = 16 << 20
	// maxHashedInAll bounds the contents that are read at a stop, and again at the start after it: queues may hold gigabytes.
	maxHashedInAll = 128 << 20
	// maxFiles bounds the files that are remembered.
	maxFiles = 20_000
)

// Change is a file that is not what it was.
type Change struct {
	Path string
	Gone bool
	Was  File
	Is   int64 // its size
}

// ReadFiles returns the files below dir, by their path in it, that keep reports true for. Their contents are remembered if
// hashed is true, up to a bound. A file that cannot be read is left out.
func ReadFiles(dir string, hashed bool, keep func(path string) bool) map[string]File {
	out, left := map[string]File{}, int64(maxHashedInAll)
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		relative, bad := filepath.Rel(dir, path)
		switch {
		case err != nil || bad != nil:
			return nil //nolint:nilerr // what cannot be read is not remembered
		case len(out) >= maxFiles:
			return fs.SkipAll
		case !entry.Type().IsRegular() || !keep(relative):
			return nil
		}
		if file, err := readFile(path, hashed && left > 0); err == nil {
			out[relative] = file
			if file.Sum != "" {
				left -= file.Size
			}
		}
		return nil
	})
	return out
}

// Changes returns which of files in dir are not what they were, sorted by path.
func Changes(dir string, files map[string]File) []Change {
	var out []Change
	for _, path := range slices.Sorted(maps.Keys(files)) {
		was := files[path]
		is, err := readFile(filepath.Join(dir, path), was.Sum != "")
		switch {
		case errors.Is(err, fs.ErrNotExist):
			out = append(out, Change{Path: path, Gone: true, Was: was})
		case err != nil || was.Sum != "" && is != was:
			out = append(out, Change{Path: path, Was: was, Is: is.Size})
		}
	}
	return out
}

func readFile(path string, hashed bool) (File, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return File{}, err
	}
	if !info.Mode().IsRegular() {
		return File{}, fmt.Errorf("%s: %w", path, errors.ErrUnsupported)
	}
	out := File{Size: info.Size()}
	if !hashed || info.Size() > maxHashed {
		return out, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return File{}, err
	}
	defer func() { _ = file.Close() }() // only read
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(file, maxHashed)); err != nil {
		return File{}, err
	}
	out.Sum = hex.EncodeToString(h.Sum(nil)[:16])
	return out, nil
}

// Below reports whether path is in one of the folders.
func Below(path string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return strings.HasPrefix(path, f+string(filepath.Separator)) })
}
