package main

import (
	"cmp"
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
)

// updateFlags are the flags of vulndb update.
type updateFlags struct {
	db, url    string
	kev, epss  string
	ecosystems []string
	force      bool
}

func (a *app) vulndbUpdateCommand() *cobra.Command {
	var f updateFlags
	cmd := &cobra.Command{
		Use:   "update",
		Short: "download advisories that changed",
		Long: `Downloads the advisories of each ecosystem that changed since the last update,
CISA's catalogue of known exploited vulnerabilities and FIRST's exploit
prediction scores. Nothing about this machine is sent.

Each ecosystem takes effect as a whole or not at all: one that fails keeps the
advisories it has, and the exit code is 1. The database before the update is
kept for ironpost vulndb rollback. A running daemon notices by itself.

With --url a mirror is used, with <Ecosystem>/all.zip below it; the catalogue
and the scores then come from --kev-url and --epss-url, or stay as they are.`,
		Example: `  sudo ironpost vulndb update
  ironpost vulndb update --db ./vuln-db --ecosystem npm --ecosystem PyPI
  sudo ironpost vulndb update --url https://mirror.example/osv`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.vulndbUpdate(cmd.Context(), f) },
	}
	databaseFlag(cmd, &f.db)
	flags := cmd.Flags()
	flags.StringVar(&f.url, "url", "", "where <Ecosystem>/all.zip is found\n(default: sbom.vuln_db_url)")
	flags.StringVar(&f.kev, "kev-url", "", "known exploited vulnerabilities (JSON)")
	flags.StringVar(&f.epss, "epss-url", "", "exploit prediction scores (CSV, gzip)")
	flags.StringSliceVar(&f.ecosystems, "ecosystem", nil, "ecosystem such as npm; repeatable\n(default: sbom.ecosystems, or the usual ones)")
	flags.BoolVar(&f.force, "force", false, "accept a source with less than 90 % of the\nadvisories of the database")
	return cmd
}

func (a *app) vulndbUpdate(ctx context.Context, f updateFlags) error {
	cfg, err := a.scannerConfig(f.db)
	if err != nil {
		return err
	}
	f.url = cmp.Or(f.url, cfg.VulnDBURL)
	if f.url == "" {
		return usageError(errors.New("sbom.vuln_db_url is empty: name a source with --url, or use ironpost vulndb import"))
	}
	if len(f.ecosystems) == 0 {
		f.ecosystems = cfg.Ecosystems
	}
	if f.url == advisory.DefaultURL {
		f.kev, f.epss = cmp.Or(f.kev, advisory.DefaultKEVURL), cmp.Or(f.epss, advisory.DefaultEPSSURL)
	}
	bar := &databaseProgress{progress: progress{w: a.err}}
	defer bar.clear()
	_, err = advisory.Update(ctx, cfg.VulnDBPath, advisory.UpdateOptions{
		Options: advisory.Options{Force: f.force, Progress: bar.update},
		URL:     f.url, Ecosystems: f.ecosystems, KEVURL: f.kev, EPSSURL: f.epss,
	})
	bar.clear()
	if err != nil {
		return databaseError(cfg.VulnDBPath, err)
	}
	return a.vulndbStatus(f.db)
}
