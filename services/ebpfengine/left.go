package ebpfengine

import (
	"fmt"
	"strings"

	"github.com/ironpost/ironpost/services/ebpfengine/attach"
)

// StillAttached says what of the engine is in force although this process does not run it: programs and blocks outlive
// it on purpose, and another process may run it. It returns nothing where there is nothing, or where it may not look.
func StillAttached(cfg Config) []string {
	names := attach.PinnedInterfaces(cfg.PinPath)
	if len(names) == 0 {
		return nil
	}
	return []string{fmt.Sprintf(
		"but its program is on %s and blocks what was blocked: another process runs it, or it was enabled before; to detach it: rm -r %s",
		strings.Join(names, ", "), cfg.PinPath)}
}
