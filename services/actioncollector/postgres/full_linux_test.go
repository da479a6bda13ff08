package postgres_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
)

// Alerts wait in their stream while the disk of PostgreSQL is full.
func TestFullDiskOfPostgresLosesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	disk := testenv.SmallDisk(t, "24m")
	r.server.Own(t, disk)
	require.NoError(t, os.Chmod(filepath.Dir(disk), 0o711))
	t.Cleanup(func() { r.server.Kill(t) }) // before the disk goes
	r.server.Exec(t, "postgres", fmt.Sprintf("CREATE TABLESPACE small LOCATION '%s'; ALTER ROLE postgres SET default_tablespace = small", disk))
	r.start()
	r.publish(1, 100)
	r.await("postgres_alerts_stored", 100)
	ballast := testenv.FillDisk(t, disk, 64<<10)
	published := 100
	for ; published < 1500; published += 100 {
		r.publish(published+1, published+100)
	}
	r.awaitReason("PostgreSQL is full: ", " alerts and 0 actions in their streams wait")
	require.NoError(t, os.Remove(ballast))
	require.Eventually(t, r.settled, patience, 10*time.Millisecond)
	r.once(published)
}
