package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/services/sbomscanner"
	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
)

// databaseFlag adds --db, of scan and vulndb.
func databaseFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "db", "", "`folder` of the vulnerability database\n(default: sbom.vuln_db_path)")
}

// scannerConfig returns the section [sbom] with the folder of the database replaced by path, if it is not empty. Then the
// configuration need not be readable.
func (a *app) scannerConfig(path string) (sbomscanner.Config, error) {
	cfg, _, err := a.loadConfig()
	switch {
	case err == nil:
	case path != "" && errors.Is(err, fs.ErrPermission):
		cfg.SBOM = sbomscanner.DefaultConfig()
	default:
		return cfg.SBOM, configError(err)
	}
	if path != "" {
		cfg.SBOM.VulnDBPath, err = filepath.Abs(path)
	}
	return cfg.SBOM, err
}

// openDatabase opens the database in path, or in the folder that the configuration names, and returns the configuration.
func (a *app) openDatabase(path string) (sbomscanner.Config, *advisory.Store, error) {
	cfg, err := a.scannerConfig(path)
	if err != nil {
		return cfg, nil, err
	}
	store, err := advisory.Open(cfg.VulnDBPath)
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w: only the user of the daemon may read its database; try sudo, or name another folder with --db", err)
	}
	return cfg, store, err
}
