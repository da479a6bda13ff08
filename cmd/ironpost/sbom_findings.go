package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/sbomscanner"
	"github.com/ironpost/ironpost/services/sbomscanner/finding"
)

func (a *app) sbomFindingsCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "findings [asset]",
		Short: "show the vulnerabilities that the scanner found",
		Long: `Shows the known vulnerabilities of one asset, named by its path or image
reference, or of all assets: what is known to be exploited first, then the most
severe. A severity that nobody stated is "unknown" and counts as
sbom.unknown_severity. Ecosystems without advisories are named, because nothing
is known about their packages. --all also shows what is fixed or ignored.

The scanner keeps them in sbom-scanner/findings below general.data_dir; no
daemon needs to run.`,
		Example: `  ironpost sbom findings /srv/shop
  ironpost sbom findings --all --json | jq '.[].findings[] | .id, .state'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.sbomFindings(strings.Join(args, ""), all)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "also what is fixed or ignored")
	return cmd
}

func (a *app) sbomFindings(name string, all bool) error {
	cfg, _, err := a.loadConfig()
	if err != nil {
		return configError(err)
	}
	folder := filepath.Join(cfg.General.DataDir, bus.SBOMScanner, sbomscanner.FindingsFolder)
	assets, unreadable := finding.Read(folder)
	if unreadable != nil && !errors.Is(unreadable, fs.ErrNotExist) {
		return fmt.Errorf("findings: %w", documentsError(folder, unreadable))
	}
	assets = slices.DeleteFunc(assets, func(x *finding.Asset) bool { return name != "" && x.Name != name && x.Digest != name })
	if name != "" && len(assets) == 0 {
		return fmt.Errorf("the scanner has no findings of %q", event.Printable(name, 200))
	}
	list := rows{columns: []column{{"SEVERITY", 8}, {"KEV", 3}, {"STATE", 8}, {"ID", 24}, {"PACKAGE", 60}, {"FIXED", 24}, {"SINCE", 25}, {"ASSET", 200}}}
	for _, x := range assets {
		x.Outbox = nil // not for people
		x.Findings = slices.DeleteFunc(orEmpty(x.Findings), func(f finding.Finding) bool {
			return !all && (f.State == finding.Fixed || f.State == finding.Ignored)
		})
		slices.SortFunc(x.Findings, finding.WorstFirst)
		for _, f := range x.Findings {
			kev, fixed := "", ""
			if f.KEV {
				kev = "yes"
			}
			if len(f.Fixed) > 0 {
				fixed = f.Fixed[0]
			}
			list.add(severityWord(f.Finding), kev, string(f.State), f.ID, f.PURL, fixed, a.when(f.Since, a.time), x.Name)
		}
	}
	if a.json {
		if assets == nil {
			assets = []*finding.Asset{}
		}
		return a.printJSON(assets)
	}
	if len(list.cells) == 0 {
		a.notef("%s", noFindings(assets))
	}
	a.printTables(list)
	for _, x := range assets {
		for _, ecosystem := range slices.Sorted(maps.Keys(x.NotAssessed)) {
			a.notef("not assessed: %d packages of %s in %s: the database has no advisories for them", x.NotAssessed[ecosystem], cell(ecosystem, 64), cell(x.Name, 200))
		}
	}
	return nil
}

// noFindings says what an empty table means.
func noFindings(assets []*finding.Asset) string {
	if len(assets) == 0 {
		return "nothing has been assessed yet: ironpost status says why"
	}
	return "there are no findings"
}
