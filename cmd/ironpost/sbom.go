package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/services/sbomscanner/document"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

func (a *app) sbomCommand() *cobra.Command {
	return group("sbom", "show what was scanned: packages, SBOM documents, findings", a.sbomListCommand(), a.sbomShowCommand(), a.sbomDiffCommand(), a.sbomFindingsCommand())
}

const sbomFolderHelp = `The scanner stores the documents in sbom-scanner/sbom below general.data_dir; no
daemon needs to run.`

func (a *app) sbomListCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "list the stored SBOM documents",
		Long: `Lists the current SBOM document of every asset: folder, image or document that
the scanner was given. The previous documents of an asset are listed with --all.

` + sbomFolderHelp,
		Example: `  ironpost sbom list
  ironpost sbom list --all --json | jq -r '.[] | [.id, .asset, .stored] | @tsv'`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return a.withDocuments(func(_ *document.Folder, entries []document.Entry) error { return a.sbomList(entries, all) })
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "also previous documents")
	return cmd
}

func (a *app) sbomList(entries []document.Entry, all bool) error {
	shown := []document.Entry{}
	list := rows{columns: []column{{"ID", 12}, {"KIND", 9}, {"PACKAGES", 8}, {"STORED", 25}, {"ASSET", 200}}}
	for _, e := range entries {
		if all || e.Current {
			shown = append(shown, e)
			list.add(e.ID, string(e.Kind), strconv.Itoa(e.Packages), a.when(e.Stored, a.time), e.Asset)
		}
	}
	if a.json {
		return a.printJSON(shown)
	}
	if len(shown) == 0 {
		a.notef("there are no SBOM documents: the scanner stores them once sbom.enabled is true")
	}
	a.printTables(list)
	return nil
}

func (a *app) sbomShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show <asset or id>",
		Short: "show the packages in an SBOM document",
		Long: `Shows the packages of an asset, with version, license and where they were found.
The asset is named by its path or image reference, which means its current
document, or by the beginning of a document's id or of an image's digest.

--json prints the document as it is stored, CycloneDX or SPDX, for other
programs.

` + sbomFolderHelp,
		Example: `  ironpost sbom show /srv/shop
  ironpost sbom show --json nginx:1.27 > nginx.cdx.json`,
		Args: oneArg,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.withDocuments(func(f *document.Folder, entries []document.Entry) error { return a.sbomShow(f, entries, args[0]) })
		},
	}
}

func (a *app) sbomShow(f *document.Folder, entries []document.Entry, text string) error {
	e, err := document.Find(entries, text)
	if err != nil {
		return err
	}
	raw, inv, err := f.Read(e)
	if err != nil {
		return err
	}
	if a.json {
		return a.printRawJSON(raw)
	}
	a.printf("document  %s, %s, stored %s", e.ID, e.Format, a.time(e.Stored))
	a.printf("asset     %s %s", e.Kind, clean(e.Asset))
	if e.Digest != "" {
		a.printf("digest    %s", clean(e.Digest))
	}
	a.printf("packages  %d", len(inv.Packages))
	a.printf("")
	list := rows{columns: []column{{"TYPE", 10}, {"PACKAGE", 32}, {"VERSION", 18}, {"LICENSE", 16}, {"FOUND IN", 200}}}
	for _, p := range inv.Packages {
		list.add(purlType(p.PURL), p.Name, cmp.Or(p.Version, "-"), cmp.Or(strings.Join(p.Licenses, ", "), "-"), cmp.Or(strings.Join(p.Locations, ", "), "-"))
	}
	a.printTables(list)
	return nil
}

// purlType returns npm for pkg:npm/lodash@4.17.21, and "-" for what is no package URL.
func purlType(purl string) string {
	if rest, ok := strings.CutPrefix(purl, "pkg:"); ok {
		kind, _, _ := strings.Cut(rest, "/")
		return kind
	}
	return "-"
}

func (a *app) sbomDiffCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "diff <asset or id> [asset or id]",
		Short: "show which packages changed",
		Long: `Shows the packages that were added and removed and the versions that changed:
between the previous and the current document of an asset, or from the first to
the second document if two are named. Names are as in "ironpost sbom show".

` + sbomFolderHelp,
		Example: `  ironpost sbom diff /srv/shop
  ironpost sbom diff nginx:1.26 nginx:1.27 --json | jq .added`,
		Args: oneOrTwoArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.withDocuments(func(f *document.Folder, entries []document.Entry) error { return a.sbomDiff(f, entries, args) })
		},
	}
}

func oneOrTwoArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 1 || len(args) == 2 {
		return nil
	}
	return fmt.Errorf("one or two arguments are needed, %d were given: %s", len(args), cmd.UseLine())
}

// sbomDifference is the --json of sbom diff.
type sbomDifference struct {
	From document.Entry `json:"from"`
	To   document.Entry `json:"to"`
	document.Difference
}

func (a *app) sbomDiff(f *document.Folder, entries []document.Entry, args []string) error {
	to, err := document.Find(entries, args[len(args)-1])
	if err != nil {
		return err
	}
	var from document.Entry
	if len(args) == 1 {
		from, err = document.Previous(entries, to)
	} else {
		from, err = document.Find(entries, args[0])
	}
	if err != nil {
		return err
	}
	var inventories [2]*inventory.Inventory
	for i, e := range []document.Entry{from, to} {
		if _, inventories[i], err = f.Read(e); err != nil {
			return err
		}
	}
	d := document.Diff(inventories[0], inventories[1])
	if a.json {
		return a.printJSON(sbomDifference{From: from, To: to, Difference: d})
	}
	a.printf("from  %s, stored %s, %s", from.ID, a.time(from.Stored), clean(from.Asset))
	a.printf("to    %s, stored %s, %s", to.ID, a.time(to.Stored), clean(to.Asset))
	if d.Empty() {
		a.notef("no package changed")
		return nil
	}
	a.printf("")
	list := rows{columns: []column{{"CHANGE", 7}, {"FROM", 18}, {"TO", 18}, {"PACKAGE", 200}}}
	for _, part := range []struct {
		word    string
		changes []document.Change
	}{{"added", d.Added}, {"removed", d.Removed}, {"changed", d.Changed}} {
		for _, c := range part.changes {
			list.add(part.word, cmp.Or(strings.Join(c.From, ", "), "-"), cmp.Or(strings.Join(c.To, ", "), "-"), c.Package)
		}
	}
	a.printTables(list)
	return nil
}

// withDocuments calls fn with the folder of documents of the configuration and what is in it.
func (a *app) withDocuments(fn func(*document.Folder, []document.Entry) error) (err error) {
	cfg, _, err := a.loadConfig()
	if err != nil {
		return configError(err)
	}
	path := filepath.Join(cfg.General.DataDir, bus.SBOMScanner, document.Subfolder)
	_, err = os.Stat(path) // the folder is not made by looking
	if errors.Is(err, fs.ErrNotExist) {
		return fn(nil, nil)
	}
	if err != nil {
		return documentsError(path, err)
	}
	f, err := document.OpenFolder(path, document.Limits{})
	if err != nil {
		return documentsError(path, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	entries, err := f.List()
	if err != nil {
		return documentsError(path, err)
	}
	return fn(f, entries)
}

func documentsError(path string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: only the daemon's user may read %s; try sudo", err, path)
	}
	return err
}
