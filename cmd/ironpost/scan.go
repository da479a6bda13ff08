package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
	"github.com/ironpost/ironpost/services/sbomscanner/match"
	"github.com/ironpost/ironpost/services/sbomscanner/osvscanner"
)

// scanFlags are the flags of scan.
type scanFlags struct {
	db              string
	exclude         []string
	minSeverity     string
	unknownSeverity string
	failOn          string
	allowUnassessed []string
	ignore          string
	vex             []string
	sarif           string
	sbom            string
	format          string
	vulnerabilities bool
	verify          bool

	least, unknown, fail event.Severity // parsed
	engine               *osvscanner.Engine
}

func (a *app) scanCommand() *cobra.Command {
	var f scanFlags
	cmd := &cobra.Command{
		Use:   "scan <folder | image.tar | container:NAME | sbom.json>",
		Short: "find known vulnerabilities in packages",
		Long: `Reads which packages a folder, a container image (a docker save archive, or the
image of a running container) or an SBOM document (CycloneDX, SPDX) names, and
looks each up in the vulnerability database. The kind of the argument is found
by what is there. No daemon is needed; nothing is sent to the bus or anywhere.

Packages whose ecosystem has no advisories in the database are "not assessed":
nothing is known about them. That, files that could not be read and the age of
the database are always said.

Without --fail-on the exit code is 0 if the scan ran. With it the scan exits
with 4 if a finding has at least that severity or is known to be exploited, and
with 1 if there is none but something was not assessed or not read, because
that is no all-clear. --allow-unassessed says what may stay unknown: an
ecosystem, "files", "versions" (that cannot be compared), "database", or "all".`,
		Example: `  ironpost scan .
  ironpost scan --fail-on high --sarif findings.sarif .
  ironpost scan container:web
  docker save app:1 -o app.tar && ironpost scan --sbom app.cdx.json app.tar
  ironpost scan --json . | jq '.findings[] | select(.kev).id'
  ironpost scan --ignore .ironpost-ignore.toml --vex product.vex.json .`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.parse(); err != nil {
				return err
			}
			return a.scan(cmd.Context(), args[0], f)
		},
	}
	flags := cmd.Flags()
	databaseFlag(cmd, &f.db)
	flags.StringArrayVar(&f.exclude, "exclude", nil, "leave out what matches the `pattern`, as in\n.gitignore; repeatable")
	flags.StringVar(&f.minSeverity, "min-severity", "", "list findings from this severity on, and\nwhat is known to be exploited (default: all)")
	flags.StringVar(&f.unknownSeverity, "unknown-severity", "medium", "severity of findings that nobody rated\n")
	flags.StringVar(&f.failOn, "fail-on", "", "exit with 4 if a finding has this severity\nor a higher one, or is known to be exploited")
	flags.StringSliceVar(&f.allowUnassessed, "allow-unassessed", nil, "`what` --fail-on lets stay unknown;\nrepeatable, or separated by commas")
	flags.StringVar(&f.ignore, "ignore", "", "`file` of findings to suppress")
	flags.StringArrayVar(&f.vex, "vex", nil, "OpenVEX `file` of findings to suppress;\nrepeatable")
	flags.StringVar(&f.sarif, "sarif", "", "write SARIF 2.1.0 to the `file`; - is\nstandard output, without the table")
	flags.StringVar(&f.sbom, "sbom", "", "write an SBOM document to the `file`; - is\nstandard output, without the table")
	flags.StringVar(&f.format, "format", "cyclonedx", "of --sbom: cyclonedx (1.6), spdx (2.3)\n")
	flags.BoolVar(&f.vulnerabilities, "sbom-vulnerabilities", false, "list the findings in the SBOM document\n(CycloneDX)")
	flags.BoolVar(&f.verify, "verify", false, "compare with osv-scanner (needs the program\nironpost-sbom-scanner) and explain every\ndifference")
	for _, name := range []string{"min-severity", "unknown-severity", "fail-on"} {
		completeFlag(cmd, name, "low", "medium", "high", "critical")
	}
	completeFlag(cmd, "format", "cyclonedx", "spdx")
	return cmd
}

// parse checks the values of the flags.
func (f *scanFlags) parse() (err error) {
	if f.least, err = severityFlag("min-severity", f.minSeverity); err != nil {
		return err
	}
	if f.unknown, err = severityFlag("unknown-severity", f.unknownSeverity); err != nil {
		return err
	}
	if f.unknown == event.Info {
		return usageError(errors.New("--unknown-severity must be low, medium, high or critical: what nobody rated is not harmless"))
	}
	if f.fail, err = severityFlag("fail-on", f.failOn); err != nil {
		return err
	}
	if f.sarif == "-" && f.sbom == "-" {
		return usageError(errors.New("--sarif and --sbom cannot both be standard output"))
	}
	if f.format != "cyclonedx" && f.format != "spdx" {
		return usageError(fmt.Errorf("--format %q is none of cyclonedx, spdx", f.format))
	}
	return nil
}

// scan scans one target and prints the result.
func (a *app) scan(ctx context.Context, argument string, f scanFlags) error {
	target, err := newScanTarget(argument)
	if err != nil {
		return err
	}
	if f.verify { // before a scan that may take long
		if f.engine, err = osvscanner.Find(osvscanner.Options{}); err != nil {
			return err
		}
	}
	inv, err := a.readInventory(ctx, target, f)
	if err != nil {
		return err
	}
	report, found, err := a.assess(ctx, target, inv, f)
	if err != nil {
		return err
	}
	if err := a.writeScan(report, inv, found, f); err != nil {
		return err
	}
	return report.verdict(f)
}

// writeScan writes the SBOM document and SARIF, and prints the report unless one of them takes standard output.
func (a *app) writeScan(r *scanReport, inv *inventory.Inventory, found *match.Result, f scanFlags) error {
	if f.sbom != "" {
		if err := a.writeSBOM(r, inv, found, f); err != nil {
			return err
		}
	}
	if f.sarif != "" {
		if err := a.writeSARIF(r, f.sarif); err != nil {
			return err
		}
	}
	switch {
	case f.sbom == "-", f.sarif == "-":
		return nil
	case a.json:
		return a.printJSON(r)
	}
	a.printScan(r)
	return nil
}

// verdict is the error of a scan that --fail-on does not let pass, nil without that flag.
func (r *scanReport) verdict(f scanFlags) error {
	if f.failOn == "" {
		return nil
	}
	if n := r.failing(f.fail); n > 0 {
		return &codedError{code: exitFindings, err: fmt.Errorf("findings of severity %s or higher, or known to be exploited: %d", f.fail, n)}
	}
	if missing := r.unassessed(f.allowUnassessed); len(missing) > 0 {
		return fmt.Errorf("no finding has severity %s or higher, but not everything was read and assessed: %s; "+
			"see the output, or name what may stay unknown with --allow-unassessed", f.fail, strings.Join(missing, ", "))
	}
	return nil
}
