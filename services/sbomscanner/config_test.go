package sbomscanner_test

import (
	"strings"
	"testing"
	"time"

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
		Engine: "grype", ScanDirs: []string{".", "/srv", "a/../b", "", strings.Repeat("x", 4097)}, Exclude: []string{"node_modules", ""},
		MaxFileSizeMB: 1025, DockerSocket: "docker.sock", VulnDBURL: "https://u:p@host", Ecosystems: []string{"npm", "Debian:12"}, VulnDBUpdateHours: 8761, VulnDBStaleHours: -1,
		VulnDBPath: "db", MinSeverity: "High", UnknownSeverity: "info", SingleAlertSeverity: "x", IgnoreFile: "i", VEXFiles: []string{"/v", "v"}, OutputFormat: "csv",
	}
	var keys []string
	for _, p := range c.Validate() {
		keys = append(keys, p.Key)
	}
	require.Equal(t, []string{
		"engine", "scan_dirs.2", "scan_dirs.3", "scan_dirs.4", "exclude.1", "max_file_size_mb", "scan_interval_hours", "docker_socket", "vuln_db_url", "ecosystems.1",
		"vuln_db_update_hours", "vuln_db_stale_hours", "vuln_db_path", "min_severity", "unknown_severity", "single_alert_severity", "ignore_file", "vex_files.1", "output_format",
	}, keys)
	c = sbomscanner.DefaultConfig()
	c.ScanDirs = nil
	require.Equal(t, "scan_dirs", c.Validate()[0].Key)
	c.Images = true
	require.Empty(t, c.Validate())
	require.Equal(t, 72*time.Hour, c.StaleAfter())
	c.VulnDBUpdateHours = 48
	require.Equal(t, 144*time.Hour, c.StaleAfter())
	c.VulnDBStaleHours = 5
	require.Equal(t, 5*time.Hour, c.StaleAfter())
}
