package advisory

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Phases of an import or update.
const (
	PhaseDownload = "download" // Done and Total are bytes
	PhaseImport   = "import"   // Done and Total are records
)

// Progress is how far an import is.
type Progress struct {
	Phase     string
	Ecosystem string // empty if the source decides
	Done      int64
	Total     int64 // 0 if unknown
}

// Options of an import.
type Options struct {
	// Ecosystem says whose records a zip archive or a directory of .json files has. Empty: the name of the folder of an all.zip,
	// or the ecosystem that every record names, or else all that are named.
	Ecosystem string
	// Force accepts a source that has less than 90 % of the records that the database has.
	Force bool
	// Progress is called from one goroutine, about a hundred times for each source; nil for nobody.
	Progress func(Progress)
}

func (o Options) progress(p Progress) {
	if o.Progress != nil {
		o.Progress(p)
	}
}

// Report is the result of an import or update.
type Report struct {
	Status
	Imported  []Coverage // what was imported
	Unchanged []string   // ecosystems and feeds whose source has nothing new
}

// Import replaces the advisories of one or more ecosystems by those of a source: a zip archive of records of the OSV schema, a
// directory of such archives (<Ecosystem>/all.zip), or a directory of .json records. Ecosystems that are not in the source stay as
// they are. Either everything of the source takes effect or, with an error, nothing. The directory dir is made if need be.
func Import(ctx context.Context, dir, source string, o Options) (_ *Report, err error) {
	d, err := openDatabase(dir)
	if err != nil {
		return nil, fmt.Errorf("import %s: %w", source, err)
	}
	defer func() { err = errors.Join(err, d.close()) }()
	all, err := d.importPath(ctx, source, o)
	if err != nil {
		return nil, fmt.Errorf("import %s: %w", source, err)
	}
	if err := d.commit(all, nil); err != nil {
		return nil, fmt.Errorf("import %s: %w", source, err)
	}
	return d.report(all), nil
}

func (d *database) report(all []Coverage) *Report {
	return &Report{Status: Status{Generation: d.manifest.Current, Previous: d.manifest.Previous}, Imported: all}
}

func (d *database) importPath(ctx context.Context, source string, o Options) ([]Coverage, error) {
	source, err := filepath.Abs(source)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(source)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return d.importFolder(ctx, source, o)
	}
	root, err := os.OpenRoot(filepath.Dir(source))
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // it was only read
	return d.importFile(ctx, root, filepath.Base(source), o)
}

// importFolder imports every <Ecosystem>/all.zip below path, or the records in path itself, and the feeds in path.
func (d *database) importFolder(ctx context.Context, path string, o Options) ([]Coverage, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // it was only read
	names, err := listFolder(root)
	if err != nil {
		return nil, err
	}
	var all []Coverage
	for _, name := range slices.Concat(names.archives, names.feeds) {
		of := o
		if folder := filepath.Dir(name); folder != "." {
			of.Ecosystem = folder
		}
		part, err := d.importFile(ctx, root, name, of)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, part...)
	}
	if len(names.archives) > 0 || len(names.records) == 0 {
		if len(all) == 0 {
			return nil, errors.New("it has no <Ecosystem>/all.zip, no .json records and no feed of KEV or EPSS")
		}
		return all, nil
	}
	part, err := d.importSource(ctx, newFolderSource(root, names.records, o.Ecosystem), o)
	return append(all, part...), err
}

// importFile imports a zip archive of records, or the feed that the name says.
func (d *database) importFile(ctx context.Context, root *os.Root, name string, o Options) ([]Coverage, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	file, err := openRegular(root, name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	path := filepath.Join(root.Name(), name)
	switch {
	case strings.HasSuffix(name, ".json"):
		return d.importFeed(kevFeed, path, file, o)
	case isScores(name):
		return d.importFeed(epssFeed, path, file, o)
	}
	if folder := filepath.Base(filepath.Dir(path)); o.Ecosystem == "" && filepath.Base(path) == archiveName && knownEcosystem(folder) {
		o.Ecosystem = folder
	}
	s, err := newZipSource(file, path, o.Ecosystem)
	if err != nil {
		return nil, err
	}
	return d.importSource(ctx, s, o)
}

func (d *database) importSource(ctx context.Context, s *source, o Options) ([]Coverage, error) {
	every := max(1, s.files/100)
	all, err := compile(ctx, d.staging, s, func(done int) {
		if done%every == 0 || done == s.files {
			o.progress(Progress{Phase: PhaseImport, Ecosystem: s.ecosystem, Done: int64(done), Total: int64(s.files)})
		}
	})
	if err != nil {
		return nil, err
	}
	return all, d.checkCounts(all, o)
}

// checkCounts refuses what has far fewer records than the database has now, unless it is forced.
func (d *database) checkCounts(all []Coverage, o Options) error {
	var errs []error
	for _, c := range all {
		old := d.manifest.Current.find(c.Ecosystem)
		if old != nil && !o.Force && c.Records*100 < old.Records*minRecordsPercent {
			errs = append(errs, fmt.Errorf("%s would have %d records instead of %d: that is less than %d %%: force the import if it is right",
				c.Ecosystem, c.Records, old.Records, minRecordsPercent))
		}
	}
	return errors.Join(errs...)
}
