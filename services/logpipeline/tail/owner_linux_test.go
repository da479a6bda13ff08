package tail_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/logpipeline/tail"
)

// A line says whether a user can have written its file, at the time it is read.
func TestLinesSayWhoOwnsTheirFile(t *testing.T) {
	t.Parallel()
	var root error
	if os.Getuid() != 0 {
		root = errors.New("not root")
	}
	testenv.Require(t, "another user", root)
	d := newDir(t)
	d.add("access.log", "")
	r := newRig(t, d.path("access.log"))
	next := func(text string) tail.Line {
		d.add("access.log", text+"\n")
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
			lines, err := r.tail.Read(t.Context(), 1)
			require.NoError(t, err)
			if len(lines) == 1 {
				require.Equal(t, text, string(lines[0].Text))
				return lines[0]
			}
		}
		require.FailNow(t, "no line")
		return tail.Line{}
	}
	const wwwData, user = 33, 1000
	r.settle()
	for _, tt := range []struct {
		owner int
		mode  os.FileMode
		want  bool
	}{{0, 0o640, true}, {wwwData, 0o644, true}, {0, 0o660, false}, {0, 0o642, false}, {user, 0o600, false}, {0, 0o600, true}} {
		require.NoError(t, os.Chown(d.path("access.log"), tt.owner, 0))
		require.NoError(t, os.Chmod(d.path("access.log"), tt.mode))
		require.Equal(t, tt.want, next(tt.mode.String()).SystemOwned, "%+v", tt)
	}
}
