package advisory

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	archiveName = "all.zip"
	kevName     = "known_exploited_vulnerabilities.json"

	maxNamesBytes = 64 << 20
	readDirBatch  = 1_000
)

// folder has what a directory offers for import, each sorted.
type folder struct {
	archives []string // <Ecosystem>/all.zip
	feeds    []string
	records  []string
	size     int // of the names of records
}

// listFolder reads the directory of root. Links are skipped.
func listFolder(root *os.Root) (*folder, error) {
	dir, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }() // it was only read
	f := &folder{}
	for {
		batch, err := dir.ReadDir(readDirBatch)
		for _, e := range batch {
			f.add(root, e)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if len(f.archives) > maxEcosystems || len(f.records) > maxArchiveFiles || f.size > maxNamesBytes {
			return nil, fmt.Errorf("it has more than %d archives or %d records", maxEcosystems, maxArchiveFiles)
		}
	}
	for _, list := range [][]string{f.archives, f.feeds, f.records} {
		slices.Sort(list)
	}
	return f, nil
}

func (f *folder) add(root *os.Root, e fs.DirEntry) {
	name := e.Name()
	switch {
	case e.IsDir() && validEcosystem(name):
		archive := filepath.Join(name, archiveName)
		if info, err := root.Lstat(archive); err == nil && info.Mode().IsRegular() {
			f.archives = append(f.archives, archive)
		}
	case !e.Type().IsRegular():
	case name == kevName || isScores(name):
		f.feeds = append(f.feeds, name)
	case filepath.Ext(name) == ".json":
		f.records = append(f.records, name)
		f.size += len(name)
	}
}

// isScores reports whether a file has the scores of EPSS by its name.
func isScores(name string) bool {
	return strings.HasSuffix(name, ".csv") || strings.HasSuffix(name, ".csv.gz")
}
