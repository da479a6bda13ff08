package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
)

func (a *app) vulndbImportCommand() *cobra.Command {
	var db string
	var o advisory.Options
	cmd := &cobra.Command{
		Use:   "import <archive | folder | file>...",
		Short: "import advisories from files, without a network",
		Long: `Replaces the advisories of one or more ecosystems by those of files: a zip
archive of records of the OSV schema, a folder of such archives
(<Ecosystem>/all.zip), a folder of .json records, CISA's catalogue of known
exploited vulnerabilities (.json), or FIRST's scores (.csv, .csv.gz).

Every record is checked. A malformed one is refused and counted. A file takes
effect as a whole at the end, or not at all; the database before it is kept for
ironpost vulndb rollback. A running daemon notices the change by itself.`,
		Example: `  sudo ironpost vulndb import ./osv
  sudo ironpost vulndb import --ecosystem npm all.zip
  sudo ironpost vulndb import known_exploited_vulnerabilities.json
  ironpost vulndb import --db ./vuln-db npm/all.zip epss_scores.csv.gz`,
		Args: atLeastOneArg,
		RunE: func(cmd *cobra.Command, args []string) error { return a.vulndbImport(cmd.Context(), db, args, o) },
	}
	databaseFlag(cmd, &db)
	cmd.Flags().StringVar(&o.Ecosystem, "ecosystem", "", "ecosystem of an archive, such as npm\n(default: its folder, or what its records say)")
	cmd.Flags().BoolVar(&o.Force, "force", false, "accept a source with less than 90 % of the\nadvisories of the database")
	return cmd
}

func (a *app) vulndbImport(ctx context.Context, db string, sources []string, o advisory.Options) error {
	cfg, err := a.scannerConfig(db)
	if err != nil {
		return err
	}
	bar := &databaseProgress{progress: progress{w: a.err}}
	defer bar.clear()
	o.Progress = bar.update
	for _, source := range sources {
		if _, err := advisory.Import(ctx, cfg.VulnDBPath, source, o); err != nil {
			return databaseError(cfg.VulnDBPath, err)
		}
	}
	bar.clear()
	return a.vulndbStatus(db)
}

// databaseProgress draws the progress of an import or update.
type databaseProgress struct{ progress }

func (b *databaseProgress) update(p advisory.Progress) {
	b.read, b.size = p.Done, p.Total
	b.show(cell(strings.TrimSpace(p.Phase+" "+p.Ecosystem), 40), time.Now())
}

// databaseError adds to err what to do about it.
func databaseError(path string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: only the user of the daemon may write to %s; try sudo, or name another folder with --db", err, path)
	}
	return err
}
