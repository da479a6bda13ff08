package sbomscanner

import (
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/setting"
	"github.com/ironpost/ironpost/services/sbomscanner/advisory"
	"github.com/ironpost/ironpost/services/sbomscanner/finding"
)

// maxPath is Linux's PATH_MAX.
const maxPath = 4096

// The engines.
const (
	engineOwn = "ironpost"
	engineOSV = "osv-scanner"
)

// minStale is the least age at which a database is out of date by default.
const minStale = 72 * time.Hour

// Config is the section [sbom].
type Config struct {
	// Enabled starts the module.
	Enabled bool `toml:"enabled"`
	// Engine matches: ironpost, or osv-scanner for the program ironpost-sbom-scanner.
	Engine string `toml:"engine"`
	// ScanDirs are the folders to scan; a relative one is below the working directory.
	ScanDirs []string `toml:"scan_dirs"`
	// Exclude are patterns in the syntax of .gitignore, relative to each of ScanDirs: what matches is not read.
	Exclude []string `toml:"exclude"`
	// UseGitignore leaves out what .gitignore files exclude.
	UseGitignore bool `toml:"use_gitignore"`
	// MaxFileSizeMB is the largest lock file or manifest that is read, in MiB.
	MaxFileSizeMB int `toml:"max_file_size_mb"`
	// ScanIntervalHours is how often everything is scanned, beside what is seen to change.
	ScanIntervalHours int `toml:"scan_interval_hours"`
	// Images scans the images of running containers.
	Images bool `toml:"images"`
	// DockerSocket is Docker's socket for that, such as a socket proxy that may export images; empty: container.docker_socket.
	DockerSocket string `toml:"docker_socket"`
	// VulnDBURL is where the vulnerability database is downloaded; empty: it is only imported, without network.
	VulnDBURL string `toml:"vuln_db_url"`
	// Ecosystems are downloaded; empty: those of the packages that were found.
	Ecosystems []string `toml:"ecosystems"`
	// VulnDBUpdateHours is how often the vulnerability database is updated.
	VulnDBUpdateHours int `toml:"vuln_db_update_hours"`
	// VulnDBStaleHours is the age at which the database is out of date; 0: three update intervals, at least 72.
	VulnDBStaleHours int `toml:"vuln_db_stale_hours"`
	// VulnDBPath is the folder of the vulnerability database; empty means vuln-db below the data folder.
	VulnDBPath string `toml:"vuln_db_path"`
	// MinSeverity is the lowest severity that becomes an alert.
	MinSeverity string `toml:"min_severity"`
	// UnknownSeverity is the severity of a finding whose advisories state none.
	UnknownSeverity string `toml:"unknown_severity"`
	// SingleAlertSeverity is the lowest severity with an alert of its own beside the digest.
	SingleAlertSeverity string `toml:"single_alert_severity"`
	// IgnoreFile names findings that are not reported; empty: none.
	IgnoreFile string `toml:"ignore_file"`
	// VEXFiles are OpenVEX documents.
	VEXFiles []string `toml:"vex_files"`
	// OutputFormat is the format of the written inventory: cyclonedx or spdx.
	OutputFormat string `toml:"output_format"`
}

// DefaultConfig returns what holds when nothing is set: not enabled.
func DefaultConfig() Config {
	return Config{
		Engine: engineOwn, ScanDirs: []string{"."}, Exclude: []string{}, UseGitignore: true, MaxFileSizeMB: 32, ScanIntervalHours: 6,
		VulnDBURL: advisory.DefaultURL, Ecosystems: []string{}, VulnDBUpdateHours: 24,
		MinSeverity: "medium", UnknownSeverity: "medium", SingleAlertSeverity: "critical", VEXFiles: []string{}, OutputFormat: "cyclonedx",
	}
}

// Validate returns every value that may not be used.
func (c Config) Validate() []setting.Problem {
	var p setting.Problems
	severities := []string{"info", "low", "medium", "high", "critical"}
	p.Add("engine", setting.OneOf(c.Engine, engineOwn, engineOSV))
	if len(c.ScanDirs) == 0 && !c.Images {
		p.Add("scan_dirs", "must not be empty unless images is true, must name at least one folder")
	}
	p.Each("scan_dirs", c.ScanDirs, checkDir)
	p.Each("exclude", c.Exclude, checkPattern)
	p.Add("max_file_size_mb", setting.Between(c.MaxFileSizeMB, 1, 1024))
	p.Add("scan_interval_hours", setting.Between(c.ScanIntervalHours, 1, 8760))
	if c.DockerSocket != "" {
		p.Add("docker_socket", setting.Socket(c.DockerSocket))
	}
	p.Add("vuln_db_url", checkURL(c.VulnDBURL))
	p.Each("ecosystems", c.Ecosystems, checkEcosystem)
	p.Add("vuln_db_update_hours", setting.Between(c.VulnDBUpdateHours, 1, 8760))
	p.Add("vuln_db_stale_hours", setting.Between(c.VulnDBStaleHours, 0, 26_280))
	p.Add("vuln_db_path", setting.OptionalPath(c.VulnDBPath))
	p.Add("min_severity", setting.OneOf(c.MinSeverity, severities...))
	p.Add("unknown_severity", setting.OneOf(c.UnknownSeverity, severities[1:]...))
	p.Add("single_alert_severity", setting.OneOf(c.SingleAlertSeverity, severities...))
	p.Add("ignore_file", setting.OptionalPath(c.IgnoreFile))
	p.Each("vex_files", c.VEXFiles, setting.Path)
	p.Add("output_format", setting.OneOf(c.OutputFormat, "cyclonedx", "spdx"))
	return p
}

func checkDir(dir string) string {
	if len(dir) > maxPath {
		return "is longer than 4096 bytes"
	}
	if what := setting.NotEmpty(dir); what != "" {
		return what
	}
	return setting.Path("/" + strings.TrimPrefix(dir, "/"))
}

func checkPattern(pattern string) string {
	switch {
	case len(pattern) > maxPath:
		return "is longer than 4096 bytes"
	case strings.Contains("/"+pattern+"/", "/../"):
		return setting.Shown(pattern) + ` must not contain ".."`
	}
	return setting.NotEmpty(pattern)
}

func checkURL(text string) string {
	if text == "" {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" {
		return "must be empty, or https://host/path below which <Ecosystem>/all.zip is found"
	}
	if u.User != nil {
		return "must not hold a password"
	}
	return ""
}

func checkEcosystem(name string) string {
	if what := setting.NotEmpty(name); what != "" {
		return what
	}
	if strings.ContainsAny(name, "/\\:\x00") || len(name) > 64 {
		return setting.Shown(name) + " is not the name of an ecosystem, must be as OSV spells it and without a suffix, such as npm, PyPI or Debian"
	}
	return ""
}

// StaleAfter returns the age at which the database is out of date.
func (c Config) StaleAfter() time.Duration {
	if c.VulnDBStaleHours > 0 {
		return time.Duration(c.VulnDBStaleHours) * time.Hour
	}
	return max(3*c.updateInterval(), minStale)
}

func (c Config) updateInterval() time.Duration {
	return time.Duration(c.VulnDBUpdateHours) * time.Hour
}

func (c Config) scanInterval() time.Duration {
	return time.Duration(c.ScanIntervalHours) * time.Hour
}

// thresholds returns what is reported.
func (c Config) thresholds() finding.Thresholds {
	return finding.Thresholds{Report: severityOf(c.MinSeverity), Alone: severityOf(c.SingleAlertSeverity)}
}

// severityOf reads a severity that Validate has checked.
func severityOf(word string) event.Severity {
	s, err := event.ParseSeverity(word)
	if err != nil {
		return event.Info
	}
	return s
}

// dirs returns ScanDirs as absolute paths without duplicates.
func (c Config) dirs() ([]string, error) {
	var out []string
	seen := map[string]bool{}
	for _, dir := range c.ScanDirs {
		path, err := filepath.Abs(dir)
		if err != nil {
			return nil, err
		}
		if !seen[path] {
			seen[path] = true
			out = append(out, path)
		}
	}
	return out, nil
}
