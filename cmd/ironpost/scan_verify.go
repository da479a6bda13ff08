package main

import (
	"context"
	"fmt"

	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
	"github.com/ironpost/ironpost/services/sbomscanner/match"
	"github.com/ironpost/ironpost/services/sbomscanner/osvscanner"
)

// verify runs the second engine on the same target and database and explains every difference. It looks for packages itself where it
// can; with --exclude, and for a container or a document, it gets those of the inventory.
func verify(ctx context.Context, engine *osvscanner.Engine, store *advisory.Store, target scanTarget, inv *inventory.Inventory, found *match.Result, f scanFlags) (*osvscanner.Comparison, error) {
	t := osvscanner.Target{Inventory: inv}
	if target.container == "" && len(f.exclude) == 0 {
		switch target.kind {
		case inventory.Directory:
			t.Directory = target.path
		case inventory.Image:
			t.Image = target.path
		}
	}
	theirs, err := engine.Scan(ctx, store, t)
	if err != nil {
		return nil, err
	}
	return osvscanner.Compare(store, inv, found, theirs)
}

// printComparison lists what only one engine found.
func (a *app) printComparison(c *osvscanner.Comparison) {
	t := rows{columns: []column{{"ONLY IN", 0}, {"ADVISORY", 24}, {"PACKAGE", 48}, {"WHY", 200}}}
	unexplained := 0
	for _, d := range c.Differences {
		if d.Reason == osvscanner.Unknown {
			unexplained++
		}
		t.add(d.OnlyIn, d.ID, d.PURL, d.Reason.Text())
	}
	if len(t.cells) > 0 {
		a.printTables(t)
		a.printf("")
	}
	a.printf("%s", clean(fmt.Sprintf("second engine, %s: %d found by both, %d by one only, %d of them not explained",
		c.Engine, c.Common, len(c.Differences), unexplained)))
}
