package sbomscanner

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
	"github.com/ironpost/ironpost/services/sbomscanner/advisory/advisorytest"
)

// A file that names a package of another ecosystem, and is removed, must not leave a database that is out of date from then on.
func TestEcosystemThatIsNotFoundAnyMoreIsKeptCurrent(t *testing.T) {
	t.Parallel()
	mirror, db := t.TempDir(), t.TempDir()
	for _, ecosystem := range []string{"npm", "Hackage"} {
		require.NoError(t, os.Mkdir(filepath.Join(mirror, ecosystem), 0o700))
		advisorytest.Zip(t, filepath.Join(mirror, ecosystem, "all.zip"), map[string]string{"A.json": advisorytest.Record("A", ecosystem, "p", "1.0.0")})
	}
	server := httptest.NewServer(http.FileServer(http.Dir(mirror)))
	t.Cleanup(server.Close)
	cfg := DefaultConfig()
	cfg.VulnDBURL, cfg.VulnDBPath = server.URL, db
	log := logrus.New()
	log.SetOutput(io.Discard)
	u := newUpdater(&Service{cfg: cfg, log: log})
	u.ecosystems = []string{"Hackage", "npm"}
	require.NoError(t, u.update(t.Context()))
	u.ecosystems = []string{"npm"}
	before := updated(t, db)
	require.NoError(t, u.update(t.Context()))
	require.True(t, updated(t, db).Updated().After(before.Updated()))
}

func updated(t *testing.T, dir string) advisory.Status {
	t.Helper()
	store, err := advisory.Open(dir)
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	return store.Status()
}
