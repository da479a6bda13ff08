package sbomscanner

import (
	"strings"

	"github.com/ironpost/ironpost/internal/setting"
)

// maxPath is Linux's PATH_MAX.
const maxPath = 4096

// Config is the section [sbom].
type Config struct {
	// Enabled starts the module.
	Enabled bool `toml:"enabled"`
	// ScanDirs are the folders to scan; a relative one is below the working directory.
	ScanDirs []string `toml:"scan_dirs"`
	// VulnDBUpdateHours is how often the vulnerability database is updated.
	VulnDBUpdateHours int `toml:"vuln_db_update_hours"`
	// VulnDBPath is the folder of the vulnerability database; empty means vuln-db below the data folder.
	VulnDBPath string `toml:"vuln_db_path"`
	// MinSeverity is the lowest severity that becomes an alert.
	MinSeverity string `toml:"min_severity"`
	// OutputFormat is the format of the written inventory: cyclonedx or spdx.
	OutputFormat string `toml:"output_format"`
}

// DefaultConfig returns what holds when nothing is set: not enabled.
func DefaultConfig() Config {
	return Config{ScanDirs: []string{"."}, VulnDBUpdateHours: 24, MinSeverity: "medium", OutputFormat: "cyclonedx"}
}

// Validate returns every value that may not be used.
func (c Config) Validate() []setting.Problem {
	var p setting.Problems
	if len(c.ScanDirs) == 0 {
		p.Add("scan_dirs", "must not be empty, must name at least one folder")
	}
	p.Each("scan_dirs", c.ScanDirs, checkDir)
	p.Add("vuln_db_update_hours", setting.Between(c.VulnDBUpdateHours, 1, 8760))
	p.Add("vuln_db_path", setting.OptionalPath(c.VulnDBPath))
	p.Add("min_severity", setting.OneOf(c.MinSeverity, "info", "low", "medium", "high", "critical"))
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
