package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
)

// databaseFlag adds --db, of scan and vulndb.
func databaseFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "db", "", "`folder` of the vulnerability database\n(default: sbom.vuln_db_path)")
}

// databasePath returns path, else the folder that the configuration names.
func (a *app) databasePath(path string) (string, error) {
	if path != "" {
		return filepath.Abs(path)
	}
	cfg, _, err := a.loadConfig()
	if err != nil {
		return "", configError(err)
	}
	return cfg.SBOM.VulnDBPath, nil
}

// openDatabase opens the database in path, or in the folder that the configuration names, and returns that folder.
func (a *app) openDatabase(path string) (string, *advisory.Store, error) {
	path, err := a.databasePath(path)
	if err != nil {
		return "", nil, err
	}
	store, err := advisory.Open(path)
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w: only the user of the daemon may read its database; try sudo, or name another folder with --db", err)
	}
	return path, store, err
}

// staleAfter is the age from which a database is said to be stale.
const staleAfter = 7 * 24 * time.Hour
