package osvscanner

import (
	"archive/zip"
	"cmp"
	"compress/flate"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

const (
	fileMode   = 0o600
	folderMode = 0o700
)

// writeDatabase writes the archives that osv-scanner reads: the advisories of store about the ecosystems of inv, and an empty
// archive for every other ecosystem, because it finds nothing at all when one is missing.
func writeDatabase(ctx context.Context, dir string, store *advisory.Store, inv *inventory.Inventory) error {
	var needed []string
	for i := range inv.Packages {
		needed = append(needed, advisory.Base(inv.Packages[i].Ecosystem))
	}
	all := slices.Concat(needed, advisory.Ecosystems())
	slices.Sort(all)
	for _, ecosystem := range slices.Compact(all) {
		if ecosystem == "" {
			continue
		}
		of := store
		if !slices.Contains(needed, ecosystem) {
			of = nil
		}
		if err := writeArchive(ctx, filepath.Join(dir, "osv-scalibr", ecosystem, "all.zip"), of, ecosystem); err != nil {
			return err
		}
	}
	return nil
}

// writeArchive writes the advisories of an ecosystem, none if store is nil or does not have it.
func writeArchive(ctx context.Context, path string, store *advisory.Store, ecosystem string) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), folderMode); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	archive := zip.NewWriter(file)
	defer func() { err = errors.Join(err, archive.Close()) }()
	if store == nil {
		return nil
	}
	archive.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestSpeed) })
	err = store.Each(ecosystem, func(a *advisory.Advisory) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		entry, err := archive.Create(a.ID + ".json")
		if err != nil {
			return err
		}
		return json.NewEncoder(entry).Encode(newRecord(a))
	})
	if errors.Is(err, advisory.ErrNotCovered) {
		return nil
	}
	return err
}

// record is an advisory as the OSV schema writes it (https://ossf.github.io/osv-schema/), as far as osv-scanner matches by it.
type record struct {
	ID        string     `json:"id"`
	Modified  time.Time  `json:"modified"`
	Withdrawn *time.Time `json:"withdrawn,omitempty"`
	Aliases   []string   `json:"aliases,omitempty"`
	Upstream  []string   `json:"upstream,omitempty"`
	Affected  []affected `json:"affected"`
}

type affected struct {
	Package  named            `json:"package"`
	Ranges   []advisory.Range `json:"ranges,omitempty"`
	Versions []string         `json:"versions,omitempty"`
}

type named struct {
	Ecosystem string `json:"ecosystem"`
	Name      string `json:"name"`
}

func newRecord(a *advisory.Advisory) record {
	r := record{ID: a.ID, Modified: a.Modified, Aliases: a.Aliases, Upstream: a.Upstream, Affected: []affected{}}
	if !a.Withdrawn.IsZero() {
		r.Withdrawn = &a.Withdrawn
	}
	for _, e := range a.Affected {
		r.Affected = append(r.Affected, affected{Package: named{e.Ecosystem, e.Name}, Ranges: e.Ranges, Versions: e.Versions})
	}
	return r
}

// document is a CycloneDX document with nothing but packages.
type document struct {
	Format     string      `json:"bomFormat"`
	Version    string      `json:"specVersion"`
	Components []component `json:"components"`
}

type component struct {
	Type    string `json:"type"`
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	PURL    string `json:"purl"`
}

// writeDocument writes the packages of inv as osv-scanner matches them: a package of a distribution under the name and version
// of its source package.
func writeDocument(path string, inv *inventory.Inventory) error {
	d := document{Format: "CycloneDX", Version: "1.5", Components: []component{}}
	for i := range inv.Packages {
		p := &inv.Packages[i]
		if p.Ecosystem == "" {
			continue // there are no advisories about it
		}
		purl, err := sourceURL(p)
		if err != nil {
			return err
		}
		d.Components = append(d.Components, component{
			Type: "library", Name: cmp.Or(p.AdvisoryName, p.Name), Version: cmp.Or(p.AdvisoryVersion, p.Version), PURL: purl,
		})
	}
	text, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, fileMode)
}
