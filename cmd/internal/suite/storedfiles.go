package suite

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/manifest"
)

// auditFolder is the default folder of the audit trail, below the data folder.
const auditFolder = "audit"

// files returns the files that hold the state of modules that run here. When nothing runs any more their contents count, too; before,
// only those that always stay. The trail of the audit tells itself what was changed, and may be accepted while nothing runs.
func (s *stored) files(stopped bool) map[string]manifest.File {
	out := manifest.ReadFiles(s.dir, stopped, func(path string) bool {
		folder, name := filepath.Split(path)
		folder = filepath.Clean(folder)
		switch {
		case path == machineName:
			return true
		case folder == auditFolder:
			return !stopped && name == "audit.log"
		case strings.HasPrefix(name, ".") || strings.Contains(name, ".bad-") || name == lockName || !s.modules(strings.Split(path, string(filepath.Separator))[0]):
			return false
		}
		return stopped || s.modules(folder) && filepath.Ext(name) == ".json"
	})
	if stopped {
		for path, file := range s.files(false) {
			if _, known := out[path]; !known {
				out[path] = file
			}
		}
		return out
	}
	for path := range out {
		out[path] = manifest.File{} // their sizes change
	}
	return out
}

// ownerOf returns whose state the file at path is.
func (s *stored) ownerOf(path string) string {
	first := strings.Split(path, string(filepath.Separator))[0]
	switch {
	case s.modules(first):
		return first
	case first == auditFolder && s.modules(bus.ActionCollector):
		return bus.ActionCollector
	}
	return busName
}

// changeText says what it means that a file is gone or was changed.
func changeText(c manifest.Change) string {
	what := fmt.Sprintf("%s was changed or damaged while the daemon did not run (%d bytes, it had %d)", c.Path, c.Is, c.Was.Size)
	if c.Gone {
		what = c.Path + " is gone"
	}
	if c.Path == filepath.Join(bus.LogPipeline, "checkpoint.json") {
		return what + ": lines may have been skipped, how many is unknown"
	}
	return what + ": what was lost with it is unknown"
}
