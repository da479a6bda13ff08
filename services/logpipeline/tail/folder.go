package tail

import (
	"os"
	"slices"
	"time"
)

const (
	// maxListedNames bounds the names in the listings that are kept.
	maxListedNames = 100_000
	// settled is how long a folder has not changed, by its time, when its listing is used again: some file systems keep times in whole seconds.
	settled = 2 * time.Second
)

// folder is a listing of the regular files and folders in a folder.
type folder struct {
	id      FileID
	mtime   int64 // of the folder, nanoseconds since 1970
	listed  time.Time
	limit   int // of names
	files   []string
	folders []string            // sorted
	byBase  map[string][]string // files by the names of which they may be rotations
}

// folderOf returns up to limit names of what is in dir now, nothing if it cannot be read. What was listed before is used while the folder is
// unchanged: ten thousand logs of one folder have it listed once.
func (t *Tailer) folderOf(dir string, limit int) *folder {
	d, err := openFolder(dir)
	if err != nil {
		return &folder{}
	}
	defer closeRead(d)
	info, err := statFile(d)
	if err != nil {
		return &folder{}
	}
	if known := t.folders[dir]; known != nil && known.limit >= limit && known.id == info.id && known.mtime == info.mtime &&
		known.listed.Sub(time.Unix(0, info.mtime)) > settled {
		return known
	}
	f := listFolder(d, limit)
	f.id, f.mtime = info.id, info.mtime
	if known := t.folders[dir]; known != nil {
		t.listed -= known.size()
	}
	if t.listed+f.size() > maxListedNames || t.folders == nil {
		t.folders, t.listed = map[string]*folder{}, 0
	}
	t.folders[dir], t.listed = f, t.listed+f.size()
	return f
}

func (f *folder) size() int { return 1 + len(f.files) + len(f.folders) }

func listFolder(d *os.File, limit int) *folder {
	f := &folder{listed: time.Now(), limit: limit, byBase: map[string][]string{}}
	entries, _ := d.ReadDir(limit) // after an error, those before it
	for _, e := range entries {
		switch {
		case e.Type().IsRegular():
			f.files = append(f.files, e.Name())
			for _, base := range possibleBases(e.Name()) {
				f.byBase[base] = append(f.byBase[base], e.Name())
			}
		case e.IsDir():
			f.folders = append(f.folders, e.Name())
		}
	}
	slices.Sort(f.folders)
	return f
}
