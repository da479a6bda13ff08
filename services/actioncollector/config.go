package actioncollector

import "github.com/ironpost/ironpost/internal/setting"

// Config is the section [collector].
type Config struct {
	// Enabled starts the module.
	Enabled bool `toml:"enabled"`
	// AuditPath is the folder of the audit trail; empty means the folder audit below the data folder.
	AuditPath string `toml:"audit_path"`
}

// DefaultConfig returns what holds when nothing is set: enabled, the trail below the data folder.
func DefaultConfig() Config {
	return Config{Enabled: true}
}

// Validate returns every value that may not be used.
func (c Config) Validate() []setting.Problem {
	var p setting.Problems
	p.Add("audit_path", setting.OptionalPath(c.AuditPath))
	return p
}
