package testenv_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
)

func TestPostgresSurvivesKill(t *testing.T) {
	t.Parallel()
	p := testenv.PostgreSQL(t)
	p.Exec(t, "postgres", "CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)")
	p.Kill(t)
	p.Start(t)
	require.Equal(t, "7", p.Exec(t, "postgres", "SELECT n FROM kept"))
	p.Stop(t)
	p.Start(t)
	require.Equal(t, "7", p.Exec(t, "postgres", "SELECT n FROM kept"))
}
