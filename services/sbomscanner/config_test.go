package sbomscanner_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/sbomscanner"
)

func TestDefaultsAreValid(t *testing.T) {
	t.Parallel()
	require.Empty(t, sbomscanner.DefaultConfig().Validate())
}

func TestBounds(t *testing.T) {
	t.Parallel()
	c := sbomscanner.Config{
		ScanDirs: []string{".", "/srv", "a/../b", "", strings.Repeat("x", 4097)}, VulnDBUpdateHours: 8761, VulnDBPath: "db",
		MinSeverity: "High", OutputFormat: "csv",
	}
	var keys []string
	for _, p := range c.Validate() {
		keys = append(keys, p.Key)
	}
	require.Equal(t, []string{"scan_dirs.2", "scan_dirs.3", "scan_dirs.4", "vuln_db_update_hours", "vuln_db_path", "min_severity", "output_format"}, keys)
	c = sbomscanner.DefaultConfig()
	c.ScanDirs = nil
	require.Equal(t, "scan_dirs", c.Validate()[0].Key)
}
