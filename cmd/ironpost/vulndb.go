package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/services/sbomscanner"
	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
)

func (a *app) vulndbCommand() *cobra.Command {
	return group("vulndb", "update and inspect the vulnerability database",
		a.vulndbUpdateCommand(), a.vulndbImportCommand(), a.vulndbStatusCommand(), a.vulndbRollbackCommand())
}

func (a *app) vulndbStatusCommand() *cobra.Command {
	var db string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "show what the vulnerability database has, and its age",
		Long: `Shows the ecosystems of the vulnerability database: how many advisories each
has, when it was last known to be current, and which records were refused. Exits
with 1 if there is no database.`,
		Example: `  ironpost vulndb status
  ironpost vulndb status --json | jq '.ecosystems[].ecosystem'`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.vulndbStatus(db) },
	}
	databaseFlag(cmd, &db)
	return cmd
}

func (a *app) vulndbStatus(db string) error {
	cfg, store, err := a.openDatabase(db)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }() // it was only read
	status := store.Status()
	if a.json {
		return a.printJSON(newVulndbStatus(cfg, status))
	}
	if store.Empty() && status.KEV == nil && status.EPSS == nil {
		return fmt.Errorf("%s: %w", cfg.VulnDBPath, advisory.ErrNoAdvisories)
	}
	a.printDatabaseStatus(cfg, status)
	return nil
}

// vulndbStatus is the --json of the commands of vulndb.
type vulndbStatus struct {
	advisory.Status

	Path    string    `json:"path"`
	Updated time.Time `json:"updated"` // of the ecosystem checked least recently
	AgeSecs int64     `json:"age_secs"`
	Stale   bool      `json:"stale"`
}

func newVulndbStatus(cfg sbomscanner.Config, status advisory.Status) vulndbStatus {
	status.Ecosystems = orEmpty(status.Ecosystems)
	v := vulndbStatus{Status: status, Path: cfg.VulnDBPath, Updated: status.Updated()}
	if !v.Updated.IsZero() {
		age := max(0, time.Since(v.Updated))
		v.AgeSecs, v.Stale = int64(age.Seconds()), age > cfg.StaleAfter()
	}
	return v
}

func (a *app) printDatabaseStatus(cfg sbomscanner.Config, status advisory.Status) {
	t := rows{columns: []column{{"ECOSYSTEM", 24}, {"ADVISORIES", 0}, {"REFUSED", 0}, {"NEWEST", 10}, {"AGE", 0}, {"SOURCE", 120}}}
	add := func(c *advisory.Coverage) {
		if c == nil {
			return
		}
		newest := "-"
		if !c.Newest.IsZero() {
			newest = c.Newest.UTC().Format(time.DateOnly)
		}
		t.add(c.Ecosystem, strconv.Itoa(c.Records), strconv.Itoa(refused(c)), newest, ageText(max(0, time.Since(c.Checked))), c.Source)
	}
	for i := range status.Ecosystems {
		add(&status.Ecosystems[i])
	}
	add(status.KEV)
	add(status.EPSS)
	a.printTables(t)
	a.printf("")
	v := newVulndbStatus(cfg, status)
	line := fmt.Sprintf("database: %s, generation %s, %d advisories", cfg.VulnDBPath, status.ID, status.Records())
	if !v.Updated.IsZero() {
		line += fmt.Sprintf(", %s old", ageText(time.Since(v.Updated)))
	}
	if v.Stale {
		line += ", stale: run ironpost vulndb update"
	}
	a.printf("%s", clean(line))
	if status.Previous != nil {
		a.printf("%s", clean(fmt.Sprintf("previous: generation %s of %s, %d advisories; ironpost vulndb rollback returns to it",
			status.Previous.ID, a.time(status.Previous.Imported), status.Previous.Records())))
	}
	if status.Damaged != "" {
		a.printf("%s", a.paint.word("broken")+": the newest generation cannot be read, the previous one is in force: "+clean(status.Damaged))
	}
	a.printRefused(status)
}

func refused(c *advisory.Coverage) int {
	n := 0
	for _, k := range c.Refused {
		n += k
	}
	return n
}

// printRefused lists the first records that were not imported.
func (a *app) printRefused(status advisory.Status) {
	for _, c := range status.Ecosystems {
		for _, r := range c.Examples[:min(3, len(c.Examples))] {
			a.printf("refused: %s: %s: %s", clean(c.Ecosystem), cell(r.File, 80), cell(r.Reason+": "+r.Detail, 200))
		}
	}
}

func (a *app) vulndbRollbackCommand() *cobra.Command {
	var db string
	cmd := &cobra.Command{
		Use:   "rollback",
		Short: "return to the database before the last import",
		Long: `Puts the database in force that the last import or update replaced. A second
rollback undoes the first. A running daemon notices by itself.`,
		Example: `  sudo ironpost vulndb rollback`,
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return a.vulndbRollback(db) },
	}
	databaseFlag(cmd, &db)
	return cmd
}

func (a *app) vulndbRollback(db string) error {
	cfg, err := a.scannerConfig(db)
	if err != nil {
		return err
	}
	if err := advisory.Rollback(cfg.VulnDBPath); err != nil {
		return databaseError(cfg.VulnDBPath, err)
	}
	return a.vulndbStatus(db)
}
