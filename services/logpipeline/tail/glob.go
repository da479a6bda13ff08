package tail

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	// maxSiblings bounds how many names of one folder are looked at.
	maxSiblings = 20_000
	// maxMatches bounds how many paths one pattern may match.
	maxMatches = 100_000
)

// hasMeta reports whether name is a pattern of filepath.Match, and not a plain name.
func hasMeta(name string) bool { return strings.ContainsAny(name, `*?[\`) }

// glob returns the paths that are there and match pattern, as filepath.Glob does. But no folder is opened that openFolder does not open, and
// it is bounded.
func glob(pattern string) []string {
	volume := filepath.VolumeName(pattern)
	names := strings.Split(strings.TrimPrefix(filepath.Clean(pattern[len(volume):]), string(filepath.Separator)), string(filepath.Separator))
	found := []string{volume + string(filepath.Separator)}
	for i, name := range names {
		var next []string
		for _, dir := range found {
			if len(next) < maxMatches {
				next = append(next, inFolder(dir, name, i == len(names)-1)...)
			}
		}
		found = next
	}
	return found
}

// inFolder returns the paths in dir that name, a pattern or a plain name, matches. Of a plain name it is only the last one that must be there.
func inFolder(dir, name string, last bool) (found []string) {
	if !hasMeta(name) {
		path := filepath.Join(dir, name)
		if _, err := os.Lstat(path); last && err != nil {
			return nil
		}
		return []string{path}
	}
	folder, err := openFolder(dir)
	if err != nil {
		return nil
	}
	defer closeRead(folder)
	names, _ := folder.Readdirnames(maxSiblings) // after an error, those before it
	slices.Sort(names)
	for _, n := range names {
		if ok, err := filepath.Match(name, n); ok && err == nil {
			found = append(found, filepath.Join(dir, n))
		}
	}
	return found
}
