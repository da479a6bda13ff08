package journal

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	maxFolders = 256  // read at once
	maxFiles   = 8192 // followed at once
)

// found is a file in a folder of journals.
type found struct {
	path   string
	folder string // of path
	info   fs.FileInfo
}

// listing is what is in the folders.
type listing struct {
	files   []found
	folders map[string]bool // that were listed
	capped  bool            // there are more than maxFolders or maxFiles
	errs    []error         // of folders that are there and cannot be listed
}

// list returns the journal files in the folders below dirs: each machine, and each namespace of its journal, has one. A link is not
// followed: the folder of a container may be one, to a place that the container writes.
func list(dirs []string) listing {
	l := listing{folders: map[string]bool{}}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			l.note(err)
			continue
		}
		for _, e := range entries {
			if !e.IsDir() {
				continue
			}
			if len(l.folders) == maxFolders {
				l.capped = true
				break
			}
			l.add(filepath.Join(dir, e.Name()))
		}
	}
	return l
}

func (l *listing) note(err error) {
	if !os.IsNotExist(err) {
		l.errs = append(l.errs, err)
	}
}

func (l *listing) add(folder string) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		l.note(err)
		return
	}
	l.folders[folder] = true
	for _, e := range entries {
		name := e.Name()
		if !e.Type().IsRegular() || !strings.HasSuffix(name, ".journal") && !strings.HasSuffix(name, ".journal~") {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // it is gone
		}
		if len(l.files) == maxFiles {
			l.capped = true
			return
		}
		l.files = append(l.files, found{path: filepath.Join(folder, name), folder: folder, info: info})
	}
}

// liveFor is how long ago the newest entry may be in a journal that is in use: a host without a line for a day is rarer than a journal
// that nobody writes any more.
const liveFor = 24 * time.Hour

// Live reports whether there is a journal below dirs that is in use. The error is for folders that are there and cannot be read.
func Live(dirs []string) (bool, error) {
	l := list(dirs)
	return l.isLive(time.Now()), errors.Join(l.errs...)
}

func (l listing) isLive(now time.Time) bool {
	return slices.ContainsFunc(l.files, func(f found) bool { return !isRotated(f.path) && now.Sub(f.info.ModTime()) < liveFor })
}

// streamOf returns the path that the files of one stream have in common: system@….journal comes before system.journal.
func streamOf(path string) string {
	name := filepath.Base(path)
	if i := strings.IndexByte(name, '@'); i > 0 {
		name = name[:i]
	}
	return filepath.Join(filepath.Dir(path), strings.TrimSuffix(strings.TrimSuffix(name, "~"), ".journal"))
}

// isRotated reports whether the name says that journald does not write the file any more.
func isRotated(path string) bool { return strings.ContainsAny(filepath.Base(path), "@~") }
