package actioncollector

import (
	"time"

	"github.com/ironpost/ironpost/internal/setting"
)

// Config is the section [collector].
type Config struct {
	// Enabled starts the module.
	Enabled bool `toml:"enabled"`
	// AuditRetentionDays is how long the audit trail is kept; 0 keeps it for ever. Closed segments are removed
	// as a whole once their newest record is older.
	AuditRetentionDays int `toml:"audit_retention_days"`
	// AuditPath is the folder of the audit trail; empty means the folder audit below the data folder.
	AuditPath string `toml:"audit_path"`
}

// DefaultConfig returns the defaults: enabled, the trail below the data folder, kept for ever.
func DefaultConfig() Config {
	return Config{Enabled: true}
}

// AuditRetention is AuditRetentionDays as a duration.
func (c Config) AuditRetention() time.Duration {
	return time.Duration(c.AuditRetentionDays) * 24 * time.Hour
}

// Validate returns the problems of c.
func (c Config) Validate() []setting.Problem {
	var p setting.Problems
	p.Add("audit_retention_days", setting.Between(c.AuditRetentionDays, 0, 36_500))
	p.Add("audit_path", setting.OptionalPath(c.AuditPath))
	return p
}
