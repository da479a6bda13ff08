package sbomscanner

import (
	"context"
	"fmt"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
	"github.com/ironpost/ironpost/services/sbomscanner/match"
	"github.com/ironpost/ironpost/services/sbomscanner/osvscanner"
)

// database is the generation of the advisories that is in use. It is for one goroutine.
type database struct {
	dir     string
	unknown event.Severity
	engine  *osvscanner.Engine // nil: our own
	store   *advisory.Store
}

// refresh opens the database if it was imported, updated or rolled back since, and reports whether it did.
func (d *database) refresh() (bool, error) {
	if d.store != nil {
		changed, err := d.store.Changed()
		if err != nil || !changed {
			return false, err
		}
	}
	store, err := advisory.Open(d.dir)
	if err != nil {
		return false, err
	}
	before := d.store
	d.store = store
	if before != nil {
		return true, before.Close()
	}
	return true, nil
}

// status returns what the database has.
func (d *database) status() advisory.Status {
	if d.store == nil {
		return advisory.Status{}
	}
	return d.store.Status()
}

// empty reports whether there are no advisories.
func (d *database) empty() bool { return d.store == nil || d.store.Empty() }

// match returns the findings of an inventory. A record that makes the matcher panic is an error, not the end of the module.
func (d *database) match(ctx context.Context, inv *inventory.Inventory) (*match.Result, error) {
	if d.empty() {
		return nil, advisory.ErrNoAdvisories
	}
	var result *match.Result
	err := task.Call(ctx, "matcher", func(ctx context.Context) (err error) {
		o := match.Options{UnknownSeverity: d.unknown}
		if d.engine != nil {
			result, err = d.engine.Match(ctx, d.store, o, inv)
		} else {
			result, err = match.New(d.store, o).Match(ctx, inv)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("match %s: %w", event.Printable(inv.Asset.Name, maxShown), err)
	}
	return result, nil
}

func (d *database) close() error {
	if d.store == nil {
		return nil
	}
	err := d.store.Close()
	d.store = nil
	return err
}
