//go:build unix

package containerguard_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Policies that every user may write are not loaded; those before stay in force, until the mode is mended.
func TestPoliciesThatOthersCanChangeAreNotLoaded(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.policy("p", `actions = ["block-source"]`)
	s := r.start()
	require.Equal(t, uint64(1), s.count("policies"))
	r.policy("q", `actions = ["notify"]`)
	s.eventually(func() bool { return s.count("policies") == 2 })
	path := filepath.Join(r.cfg.PolicyPath, "q.toml")
	require.NoError(t, os.Chmod(path, 0o666))
	s.eventually(func() bool {
		reasons := fmt.Sprint(s.Health().Reasons)
		return strings.Contains(reasons, "chmod go-w "+path) && strings.Contains(reasons, "2 policies stay in force")
	})
	require.NoError(t, os.Chmod(path, 0o600))
	s.eventually(func() bool { return !strings.Contains(fmt.Sprint(s.Health().Reasons), "stay in force") })
}
