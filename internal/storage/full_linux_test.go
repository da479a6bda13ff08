package storage_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/storage"
	"github.com/ironpost/ironpost/internal/testenv"
)

func TestFullDiskIsTold(t *testing.T) {
	t.Parallel()
	p := testenv.PostgreSQL(t)
	disk := testenv.SmallDisk(t, "24m")
	p.Own(t, disk)
	require.NoError(t, os.Chmod(filepath.Dir(disk), 0o711))
	t.Cleanup(func() { p.Kill(t) }) // before the disk goes
	p.Exec(t, "postgres", fmt.Sprintf("CREATE TABLESPACE small LOCATION '%s'", disk))
	p.Exec(t, "postgres", "CREATE DATABASE small TABLESPACE small")
	s := open(t, storage.Config{URL: p.URL("small")})
	require.NoError(t, s.Prepare(t.Context()))
	ballast := testenv.FillDisk(t, disk, 1<<20)
	rows := alerts(t, 1, 10_000)
	_, err := s.Write(t.Context(), storage.Alerts, rows)
	require.Equal(t, storage.Full, kindOf(err), err)
	require.NoError(t, os.Remove(ballast))
	result, err := s.Write(t.Context(), storage.Alerts, rows)
	require.NoError(t, err)
	require.Equal(t, 10_000, result.Inserted+result.Present)
}
