package ebpfengine

import (
	"fmt"

	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
)

// CheckFeeds returns which files of c.BlocklistFiles are there and cannot be used.
func CheckFeeds(c Config) []error {
	var out []error
	for _, path := range c.BlocklistFiles {
		if err := blocklist.CheckFile(path); err != nil {
			out = append(out, fmt.Errorf("ebpf.blocklist_files: %s: %w", path, err))
		}
	}
	return out
}
