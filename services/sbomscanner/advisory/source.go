package advisory

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"strings"
)

// source is a set of records to import.
type source struct {
	ecosystem string // that the source has the records of; empty: what they say
	name      string // path or URL
	files     int

	// each calls fn with each file and its content, or with why it cannot be read, until fn returns an error. The content is valid
	// until fn returns.
	each func(ctx context.Context, fn func(file string, content []byte, err error) error) error
	hash func() (string, error) // SHA-256, after each
}

// newZipSource reads a zip archive of records. file stays open for as long as the source is used.
func newZipSource(file *os.File, name, ecosystem string) (*source, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	a, err := newArchive(file, info.Size())
	if err != nil {
		return nil, err
	}
	s := &source{ecosystem: ecosystem, name: name, files: a.files, hash: func() (string, error) { return hashFile(file) }}
	s.each = func(ctx context.Context, fn func(string, []byte, error) error) error {
		return a.entries(func(f archiveFile) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if strings.HasSuffix(f.name, "/") {
				return nil // a folder
			}
			content, err := a.readRecord(f)
			return fn(f.name, content, err)
		})
	}
	return s, nil
}

// readRecord is read for an entry whose name is that of a record.
func (a *archive) readRecord(f archiveFile) ([]byte, error) {
	if !fs.ValidPath(f.name) || strings.Contains(f.name, `\`) {
		return nil, refuse(refusedName, "its name leads outside of the archive")
	}
	if path.Ext(f.name) != ".json" {
		return nil, refuse(refusedName, "it is not a .json file")
	}
	return a.read(f)
}

// newFolderSource reads the records called names in root.
func newFolderSource(root *os.Root, names []string, ecosystem string) *source {
	sum := sha256.New()
	s := &source{ecosystem: ecosystem, name: root.Name(), files: len(names)}
	s.hash = func() (string, error) { return hex.EncodeToString(sum.Sum(nil)), nil }
	s.each = func(ctx context.Context, fn func(string, []byte, error) error) error {
		for _, name := range names {
			if err := ctx.Err(); err != nil {
				return err
			}
			content, err := readRecordFile(root, name)
			sum.Write([]byte(name))
			sum.Write(content)
			if err := fn(name, content, err); err != nil {
				return err
			}
		}
		return nil
	}
	return s
}

func readRecordFile(root *os.Root, name string) ([]byte, error) {
	file, err := openRegular(root, name)
	if err != nil {
		return nil, &refusal{reason: refusedArchive, cause: err}
	}
	defer func() { _ = file.Close() }() // it was only read
	content, err := io.ReadAll(io.LimitReader(file, maxRecordBytes+1))
	if err != nil {
		return nil, &refusal{reason: refusedArchive, cause: err}
	}
	return content, nil
}

// hashFile returns the SHA-256 of a file and leaves its offset at the start.
func hashFile(file *os.File) (string, error) {
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(file, 0, math.MaxInt64)); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
