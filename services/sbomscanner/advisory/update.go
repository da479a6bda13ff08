package advisory

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

// Public sources.
const (
	DefaultURL     = "https://osv-vulnerabilities.storage.googleapis.com"
	DefaultKEVURL  = "https://www.cisa.gov/sites/default/files/feeds/known_exploited_vulnerabilities.json"
	DefaultEPSSURL = "https://epss.empiricalsecurity.com/epss_scores-current.csv.gz"
)

const maxRedirects = 10

// UpdateOptions of an update.
type UpdateOptions struct {
	Options // Ecosystem is not used

	URL        string   // archives are at URL/<Ecosystem>/all.zip; empty for DefaultURL
	Ecosystems []string // suffixes are ignored; empty for DefaultEcosystems
	KEVURL     string   // empty: KEV is not updated
	EPSSURL    string   // empty: EPSS is not updated
	// StallTimeout ends a download of which nothing came for this time; 0 for a minute.
	StallTimeout time.Duration
	Client       *http.Client // nil for a new one; redirects from https to http are not followed unless it says so
}

// DefaultEcosystems returns the ecosystems to update while nothing was scanned.
func DefaultEcosystems() []string {
	return []string{"Alpine", "Debian", "Go", "Maven", "NuGet", "Packagist", "PyPI", "RubyGems", "crates.io", "npm"}
}

// Update downloads the advisories of ecosystems, and the feeds, that changed since they were imported, and imports them. Each of
// them takes effect as a whole or not at all: those that fail keep what they have and are named in the error, beside which the
// report says what was imported.
func Update(ctx context.Context, dir string, o UpdateOptions) (_ *Report, err error) {
	d, err := openDatabase(dir)
	if err != nil {
		return nil, fmt.Errorf("update the vulnerability database: %w", err)
	}
	defer func() { err = errors.Join(err, d.close()) }()
	u := &updater{database: d, options: o, client: o.client()}
	u.run(ctx)
	if err := d.commit(u.imported, u.unchanged); err != nil {
		return nil, fmt.Errorf("update the vulnerability database: %w", err)
	}
	report := d.report(u.imported)
	for _, c := range u.unchanged {
		report.Unchanged = append(report.Unchanged, c.Ecosystem)
	}
	return report, errors.Join(u.failed...)
}

type updater struct {
	*database
	options   UpdateOptions
	client    *http.Client
	imported  []Coverage
	unchanged []Coverage
	failed    []error
}

func (u *updater) run(ctx context.Context) {
	base := strings.TrimSuffix(u.options.URL, "/")
	if base == "" {
		base = DefaultURL
	}
	for _, ecosystem := range u.options.ecosystems() {
		u.update(ctx, ecosystem, base+"/"+url.PathEscape(ecosystem)+"/"+archiveName, u.importArchive)
	}
	if u.options.KEVURL != "" {
		u.update(ctx, kevFeed, u.options.KEVURL, u.importDownloadedFeed)
	}
	if u.options.EPSSURL != "" {
		u.update(ctx, epssFeed, u.options.EPSSURL, u.importDownloadedFeed)
	}
}

func (u *updater) importDownloadedFeed(_ context.Context, name string, file *download) ([]Coverage, error) {
	return u.importFeed(name, file.url, file.File, u.options.Options)
}

// ecosystems returns the base names, each once.
func (o UpdateOptions) ecosystems() []string {
	names := o.Ecosystems
	if len(names) == 0 {
		names = DefaultEcosystems()
	}
	var bases []string
	for _, name := range names {
		bases = append(bases, Base(name))
	}
	slices.Sort(bases)
	return slices.Compact(bases)
}

func (o UpdateOptions) client() *http.Client {
	client := &http.Client{}
	if o.Client != nil {
		*client = *o.Client
	}
	if client.CheckRedirect == nil {
		client.CheckRedirect = checkRedirect
	}
	return client
}

// checkRedirect is http.Client's own rule, and that no redirect leads away from TLS.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return errors.New("a redirect leads from https to " + req.URL.Scheme)
	}
	return nil
}

// update downloads and imports one ecosystem or feed.
func (u *updater) update(ctx context.Context, name, from string, read func(context.Context, string, *download) ([]Coverage, error)) {
	if ctx.Err() != nil {
		u.fail(name, context.Cause(ctx))
		return
	}
	if !validEcosystem(name) {
		u.fail(name, errors.New("it is not the name of an ecosystem"))
		return
	}
	old := u.reusable(name, from)
	file, err := u.download(ctx, name, from, old)
	if errors.Is(err, errNotModified) && old != nil {
		kept := *old
		kept.Checked = time.Now().UTC()
		u.unchanged = append(u.unchanged, kept)
		return
	}
	if err != nil {
		u.fail(name, err)
		return
	}
	all, err := read(ctx, name, file)
	if err := errors.Join(err, file.Close(), u.staging.Remove(downloadName)); err != nil {
		u.fail(name, fmt.Errorf("%s: %w", from, err))
		return
	}
	for i := range all {
		all[i].ETag, all[i].LastModified = file.etag, file.modified
	}
	u.imported = append(u.imported, all...)
}

func (u *updater) fail(name string, err error) {
	u.failed = append(u.failed, fmt.Errorf("update %s: %w", name, err))
}

// reusable returns what the database has from this source, or nil if there is nothing or it cannot be read.
func (u *updater) reusable(name, from string) *Coverage {
	for _, c := range u.manifest.Current.all() {
		if c.Ecosystem != name || c.Source != from {
			continue
		}
		m, err := mapIndex(u.root, c)
		if err != nil || m.close() != nil {
			return nil
		}
		return c
	}
	return nil
}

func (u *updater) importArchive(ctx context.Context, ecosystem string, file *download) ([]Coverage, error) {
	s, err := newZipSource(file.File, file.url, ecosystem)
	if err != nil {
		return nil, err
	}
	return u.importSource(ctx, s, u.options.Options)
}

// download is a downloaded file at its start.
type download struct {
	*os.File
	url      string
	etag     string
	modified string
}
