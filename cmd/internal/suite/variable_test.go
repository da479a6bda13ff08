package suite

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/config"
)

// variable is a variable, its key, a value that is not the default, and the value of the key then.
type variable struct{ name, key, text, want string }

// variables has every variable whose key is not a switch; see allVariables.
var variables = []variable{
	// The 29 of the design document.
	{"IRONPOST_GENERAL_LOG_LEVEL", "general.log_level", "debug", `"debug"`},
	{"IRONPOST_GENERAL_LOG_FORMAT", "general.log_format", "pretty", `"pretty"`},
	{"IRONPOST_GENERAL_DATA_DIR", "general.data_dir", "/srv/ironpost", `"/srv/ironpost"`},
	{"IRONPOST_GENERAL_STRICT_MODES", "general.strict_modes", "false", "false"},
	{"IRONPOST_GENERAL_PID_FILE", "general.pid_file", "", `""`},
	{"IRONPOST_EBPF_ENABLED", "ebpf.enabled", "true", "true"},
	{"IRONPOST_EBPF_INTERFACE", "ebpf.interface", "eth0, eth1", `"eth0, eth1"`},
	{"IRONPOST_EBPF_XDP_MODE", "ebpf.xdp_mode", "skb", `"skb"`},
	{"IRONPOST_EBPF_RING_BUFFER_SIZE", "ebpf.ring_buffer_size", "524288", "524288"},
	{"IRONPOST_EBPF_BLOCKLIST_MAX_ENTRIES", "ebpf.blocklist_max_entries", "20000", "20000"},
	{"IRONPOST_LOG_PIPELINE_ENABLED", "log_pipeline.enabled", "false", "false"},
	{"IRONPOST_LOG_PIPELINE_SOURCES", "log_pipeline.sources", " syslog_tcp , file ", `["syslog_tcp", "file"]`},
	{"IRONPOST_LOG_PIPELINE_SYSLOG_BIND", "log_pipeline.syslog_bind", "127.0.0.1:1514", `"127.0.0.1:1514"`},
	{"IRONPOST_LOG_PIPELINE_WATCH_PATHS", "log_pipeline.watch_paths", "/a.log,/b/*.log", `["/a.log", "/b/*.log"]`},
	{"IRONPOST_LOG_PIPELINE_JOURNAL_PATHS", "log_pipeline.journal_paths", "/mnt/journal", `["/mnt/journal"]`},
	{"IRONPOST_LOG_PIPELINE_BATCH_SIZE", "log_pipeline.batch_size", "200", "200"},
	{"IRONPOST_LOG_PIPELINE_FLUSH_INTERVAL_SECS", "log_pipeline.flush_interval_secs", "7", "7"},
	{"IRONPOST_LOG_PIPELINE_CHECKPOINT_INTERVAL_SECS", "log_pipeline.checkpoint_interval_secs", "60", "60"},
	{"IRONPOST_STORAGE_POSTGRES_URL", "log_pipeline.storage.postgres_url", "postgres://db/ironpost", `"postgres://db/ironpost"`},
	{"IRONPOST_STORAGE_REDIS_URL", "log_pipeline.storage.redis_url", "redis://cache:6379", `"redis://cache:6379"`},
	{"IRONPOST_STORAGE_RETENTION_DAYS", "log_pipeline.storage.retention_days", "90", "90"},
	{"IRONPOST_CONTAINER_ENABLED", "container.enabled", "true", "true"},
	{"IRONPOST_CONTAINER_DOCKER_SOCKET", "container.docker_socket", "/run/podman.sock", `"/run/podman.sock"`},
	{"IRONPOST_CONTAINER_POLL_INTERVAL_SECS", "container.poll_interval_secs", "20", "20"},
	{"IRONPOST_CONTAINER_POLICY_PATH", "container.policy_path", "/srv/policies", `"/srv/policies"`},
	{"IRONPOST_CONTAINER_AUTO_ISOLATE", "container.auto_isolate", "true", "true"},
	{"IRONPOST_SBOM_ENABLED", "sbom.enabled", "true", "true"},
	{"IRONPOST_SBOM_SCAN_DIRS", "sbom.scan_dirs", "/srv/app,/opt", `["/srv/app", "/opt"]`},
	{"IRONPOST_SBOM_VULN_DB_UPDATE_HOURS", "sbom.vuln_db_update_hours", "12", "12"},
	{"IRONPOST_SBOM_VULN_DB_PATH", "sbom.vuln_db_path", "/srv/vuln", `"/srv/vuln"`},
	{"IRONPOST_SBOM_MIN_SEVERITY", "sbom.min_severity", "high", `"high"`},
	{"IRONPOST_SBOM_OUTPUT_FORMAT", "sbom.output_format", "spdx", `"spdx"`},
	{"IRONPOST_SBOM_ENGINE", "sbom.engine", "osv-scanner", `"osv-scanner"`},
	{"IRONPOST_SBOM_EXCLUDE", "sbom.exclude", "node_modules,*.bak", `["node_modules", "*.bak"]`},
	{"IRONPOST_SBOM_MAX_FILE_SIZE_MB", "sbom.max_file_size_mb", "64", "64"},
	{"IRONPOST_SBOM_SCAN_INTERVAL_HOURS", "sbom.scan_interval_hours", "1", "1"},
	{"IRONPOST_SBOM_DOCKER_SOCKET", "sbom.docker_socket", "tcp://proxy:2375", `"tcp://proxy:2375"`},
	{"IRONPOST_SBOM_VULN_DB_URL", "sbom.vuln_db_url", "https://mirror.example/osv", `"https://mirror.example/osv"`},
	{"IRONPOST_SBOM_ECOSYSTEMS", "sbom.ecosystems", "npm,Debian", `["npm", "Debian"]`},
	{"IRONPOST_SBOM_VULN_DB_STALE_HOURS", "sbom.vuln_db_stale_hours", "100", "100"},
	{"IRONPOST_SBOM_UNKNOWN_SEVERITY", "sbom.unknown_severity", "high", `"high"`},
	{"IRONPOST_SBOM_SINGLE_ALERT_SEVERITY", "sbom.single_alert_severity", "high", `"high"`},
	{"IRONPOST_SBOM_IGNORE_FILE", "sbom.ignore_file", "/etc/ironpost/ignore.toml", `"/etc/ironpost/ignore.toml"`},
	{"IRONPOST_SBOM_VEX_FILES", "sbom.vex_files", "/a.json,/b.json", `["/a.json", "/b.json"]`},
	// Those of design.md section 6 and later ones.
	{"IRONPOST_CONTAINER_MAX_ALERT_AGE_SECS", "container.max_alert_age_secs", "60", "60"},
	{"IRONPOST_CONTAINER_APPROVAL_TIMEOUT_SECS", "container.approval_timeout_secs", "600", "600"},
	{"IRONPOST_CONTAINER_MAX_PER_MINUTE", "container.max_per_minute", "3", "3"},
	{"IRONPOST_CONTAINER_MAX_PER_PROJECT", "container.max_per_project", "2", "2"},
	{"IRONPOST_CONTAINER_MAX_SHARE_PERCENT", "container.max_share_percent", "50", "50"},
	{"IRONPOST_CONTAINER_MAX_BLOCKS_PER_MINUTE", "container.max_blocks_per_minute", "30", "30"},
	{"IRONPOST_CONTAINER_MAX_BLOCKS", "container.max_blocks", "300", "300"},
	{"IRONPOST_CONTAINER_MAX_BLOCKS_PER_SOURCE", "container.max_blocks_per_source", "100", "100"},
	{"IRONPOST_CONTAINER_PROTECTED", "container.protected", "core-*,db", `["core-*", "db"]`},
	{"IRONPOST_CONTAINER_TRUST_IMAGE_LABELS", "container.trust_image_labels", "shop/*,registry.example/db:?", `["shop/*", "registry.example/db:?"]`},
	{"IRONPOST_CONTAINER_NEVER_BLOCK", "container.never_block", "192.0.2.0/24", `["192.0.2.0/24"]`},
	{"IRONPOST_CONTAINER_BLOCK_PRIVATE", "container.block_private", "true", "true"},
	{"IRONPOST_CONTAINER_EVIDENCE_MAX_BYTES", "container.evidence_max_bytes", "1048576", "1048576"},
	{"IRONPOST_CONTAINER_EVIDENCE_RETENTION_DAYS", "container.evidence_retention_days", "30", "30"},
	{"IRONPOST_CONTAINER_WEBHOOK_URL", "container.webhook_url", "https://hooks.example/T0/SECRET", `"(hidden)"`},
	{"IRONPOST_CONTAINER_WEBHOOK_URL_FILE", "container.webhook_url_file", "", ""}, // as those of the storage
	{"IRONPOST_GENERAL_HOST", "general.host", "edge-7", `"edge-7"`},
	{"IRONPOST_BUS_MODE", "bus.mode", "external", `"external"`},
	{"IRONPOST_BUS_OBSERVER", "bus.observer", "false", "false"},
	{"IRONPOST_BUS_OBSERVER_PUBLISHED", "bus.observer_published", "true", "true"},
	{"IRONPOST_BUS_OBSERVER_EVIDENCE", "bus.observer_evidence", "true", "true"},
	{"IRONPOST_BUS_OBSERVER_LISTEN", "bus.observer_listen", "[::1]:4333", `"[::1]:4333"`},
	{"IRONPOST_BUS_SOCKET", "bus.socket", "/srv/bus.sock", `"/srv/bus.sock"`},
	{"IRONPOST_BUS_LISTEN", "bus.listen", ":4443", `":4443"`},
	{"IRONPOST_BUS_HUB", "bus.hub", "tls://hub:4443", `"tls://hub:4443"`},
	{"IRONPOST_BUS_HUB_BUNDLE", "bus.hub_bundle", "/etc/hub", `"/etc/hub"`},
	{"IRONPOST_BUS_URL", "bus.url", "tls://a:4222,tls://b:4222", `"tls://a:4222,tls://b:4222"`},
	{"IRONPOST_BUS_CREDENTIALS_FILE", "bus.credentials_file", "/etc/bus.nk", `"/etc/bus.nk"`},
	{"IRONPOST_BUS_TLS_CA", "bus.tls_ca", "/etc/ca.pem", `"/etc/ca.pem"`},
	{"IRONPOST_BUS_TLS_CERT", "bus.tls_cert", "/etc/cert.pem", `"/etc/cert.pem"`},
	{"IRONPOST_BUS_TLS_KEY", "bus.tls_key", "/etc/key.pem", `"/etc/key.pem"`},
	{"IRONPOST_BUS_STORE_DIR", "bus.store_dir", "/srv/streams", `"/srv/streams"`},
	{"IRONPOST_BUS_MAX_STORE_BYTES", "bus.max_store_bytes", "1073741824", "1073741824"},
	{"IRONPOST_BUS_REPLICAS", "bus.replicas", "3", "3"},
	{"IRONPOST_BUS_PACKETS_IN_FLIGHT", "bus.packets_in_flight", "2048", "2048"},
	{"IRONPOST_BUS_ALERTS_IN_FLIGHT", "bus.alerts_in_flight", "128", "128"},
	{"IRONPOST_BUS_ACTIONS_IN_FLIGHT", "bus.actions_in_flight", "64", "64"},
	{"IRONPOST_HEALTH_INTERVAL_SECS", "health.interval_secs", "10", "10"},
	{"IRONPOST_METRICS_ENABLED", "metrics.enabled", "false", "false"},
	{"IRONPOST_METRICS_LISTEN", "metrics.listen", "127.0.0.1:9999", `"127.0.0.1:9999"`},
	{"IRONPOST_METRICS_HOSTS", "metrics.hosts", "edge-7, edge-7.example", `["edge-7", "edge-7.example"]`},
	{"IRONPOST_COLLECTOR_ENABLED", "collector.enabled", "false", "false"},
	{"IRONPOST_COLLECTOR_AUDIT_RETENTION_DAYS", "collector.audit_retention_days", "365", "365"},
	{"IRONPOST_COLLECTOR_AUDIT_PATH", "collector.audit_path", "/srv/audit", `"/srv/audit"`},
	{"IRONPOST_LOG_PIPELINE_SYSLOG_TCP_BIND", "log_pipeline.syslog_tcp_bind", "127.0.0.1:1601", `"127.0.0.1:1601"`},
	{"IRONPOST_LOG_PIPELINE_RULES_PATH", "log_pipeline.rules_path", "/srv/rules", `"/srv/rules"`},
	{"IRONPOST_LOG_PIPELINE_FORMATS_PATH", "log_pipeline.formats_path", "/srv/formats", `"/srv/formats"`},
	{"IRONPOST_LOG_PIPELINE_SHIPPED_RULES", "log_pipeline.shipped_rules", "false", "false"},
	{"IRONPOST_LOG_PIPELINE_QUIET_AFTER_SECS", "log_pipeline.quiet_after_secs", "90", "90"},
	{"IRONPOST_LOG_PIPELINE_DEDUP_WINDOW_SECS", "log_pipeline.dedup_window_secs", "120", "120"},
	{"IRONPOST_LOG_PIPELINE_MAX_LINE_BYTES", "log_pipeline.max_line_bytes", "4096", "4096"},
	{"IRONPOST_LOG_PIPELINE_MAX_WATCHED_FILES", "log_pipeline.max_watched_files", "20000", "20000"},
	{"IRONPOST_LOG_PIPELINE_SPOOL_MAX_BYTES", "log_pipeline.spool_max_bytes", "2097152", "2097152"},
	{"IRONPOST_LOG_PIPELINE_SYSLOG_MAX_CONNECTIONS", "log_pipeline.syslog_max_connections", "64", "64"},
	{"IRONPOST_LOG_PIPELINE_SYSLOG_MAX_CONNECTIONS_PER_PEER", "log_pipeline.syslog_max_connections_per_peer", "8", "8"},
	{"IRONPOST_LOG_PIPELINE_SYSLOG_IDLE_SECS", "log_pipeline.syslog_idle_secs", "60", "60"},
	{"IRONPOST_LOG_PIPELINE_SYSLOG_UDP_QUEUE_BYTES", "log_pipeline.syslog_udp_queue_bytes", "2097152", "2097152"},
	{"IRONPOST_LOG_PIPELINE_SYSLOG_TLS_BIND", "log_pipeline.syslog_tls_bind", "0.0.0.0:6514", `"0.0.0.0:6514"`},
	{"IRONPOST_LOG_PIPELINE_SYSLOG_TLS_CERT", "log_pipeline.syslog_tls_cert", "/etc/ironpost/tls.pem", `"/etc/ironpost/tls.pem"`},
	{"IRONPOST_LOG_PIPELINE_SYSLOG_TLS_KEY", "log_pipeline.syslog_tls_key", "/etc/ironpost/tls.key", `"/etc/ironpost/tls.key"`},
	{"IRONPOST_LOG_PIPELINE_SYSLOG_TLS_CLIENT_CA", "log_pipeline.syslog_tls_client_ca", "/etc/ironpost/ca.pem", `"/etc/ironpost/ca.pem"`},
	{"IRONPOST_LOG_PIPELINE_UNIX_SOCKET", "log_pipeline.unix_socket", "/run/app/log.sock", `"/run/app/log.sock"`},
	{"IRONPOST_LOG_PIPELINE_TIMEZONE", "log_pipeline.timezone", "Europe/Berlin", `"Europe/Berlin"`},
	{"IRONPOST_LOG_PIPELINE_TRUSTED_PROXIES", "log_pipeline.trusted_proxies", "10.0.0.0/8,192.0.2.7", `["10.0.0.0/8", "192.0.2.7"]`},
	{"IRONPOST_STORAGE_QUEUE_MAX_BYTES", "log_pipeline.storage.queue_max_bytes", "2097152", "2097152"},
	{"IRONPOST_STORAGE_POSTGRES_URL_FILE", "log_pipeline.storage.postgres_url_file", "", ""}, // has its own test
	{"IRONPOST_STORAGE_REDIS_URL_FILE", "log_pipeline.storage.redis_url_file", "", ""},
	// Of the packet engine.
	{"IRONPOST_EBPF_BLOCKLIST_FILES", "ebpf.blocklist_files", "/a/list, /b", `["/a/list", "/b"]`},
	{"IRONPOST_EBPF_ALLOW", "ebpf.allow", "192.0.2.0/24, /b", `["192.0.2.0/24", "/b"]`},
	{"IRONPOST_EBPF_PIN_PATH", "ebpf.pin_path", "/sys/fs/bpf/other", `"/sys/fs/bpf/other"`},
	{"IRONPOST_EBPF_DETECT_SCAN_PORTS", "ebpf.detect.scan_ports", "20", "20"},
	{"IRONPOST_EBPF_DETECT_SCAN_HOSTS", "ebpf.detect.scan_hosts", "20", "20"},
	{"IRONPOST_EBPF_DETECT_SWEEP_HOSTS", "ebpf.detect.sweep_hosts", "20", "20"},
	{"IRONPOST_EBPF_DETECT_SCAN_MEMORY_SECS", "ebpf.detect.scan_memory_secs", "3600", "3600"},
	{"IRONPOST_EBPF_DETECT_SLOW_GAP_SECS", "ebpf.detect.slow_gap_secs", "20", "20"},
	{"IRONPOST_EBPF_DETECT_MAX_SOURCES", "ebpf.detect.max_sources", "1000", "1000"},
	{"IRONPOST_EBPF_DETECT_SYN_FLOOD_PPS", "ebpf.detect.syn_flood_pps", "20", "20"},
	{"IRONPOST_EBPF_DETECT_UDP_FLOOD_PPS", "ebpf.detect.udp_flood_pps", "20", "20"},
	{"IRONPOST_EBPF_DETECT_IP_FLOOD_PPS", "ebpf.detect.ip_flood_pps", "20", "20"},
	{"IRONPOST_EBPF_DETECT_ICMP_FLOOD_PPS", "ebpf.detect.icmp_flood_pps", "20", "20"},
	{"IRONPOST_EBPF_DETECT_FRAGMENT_FLOOD_PPS", "ebpf.detect.fragment_flood_pps", "20", "20"},
	{"IRONPOST_EBPF_DETECT_TCP_FLOOD_PPS", "ebpf.detect.tcp_flood_pps", "20", "20"},
	{"IRONPOST_EBPF_DETECT_REFLECTION_PPS", "ebpf.detect.reflection_pps", "20", "20"},
	{"IRONPOST_EBPF_DETECT_CONNECTIONS_PER_SEC", "ebpf.detect.connections_per_sec", "20", "20"},
	{"IRONPOST_EBPF_DETECT_REPEAT_SECS", "ebpf.detect.repeat_secs", "20", "20"},
}

// needed has the variables without which a value would be refused.
var needed = map[string][]string{
	"IRONPOST_BUS_MODE":     {"IRONPOST_BUS_URL=nats://a:4222"},
	"IRONPOST_BUS_REPLICAS": {"IRONPOST_BUS_MODE=external", "IRONPOST_BUS_URL=nats://a:4222"},
	"IRONPOST_BUS_LISTEN":   {"IRONPOST_BUS_TLS_CA=/ca", "IRONPOST_BUS_TLS_CERT=/cert", "IRONPOST_BUS_TLS_KEY=/key"},
	"IRONPOST_BUS_HUB":      {"IRONPOST_BUS_HUB_BUNDLE=/etc/hub"},
	"IRONPOST_BUS_TLS_CERT": {"IRONPOST_BUS_TLS_KEY=/key"},
	"IRONPOST_BUS_TLS_KEY":  {"IRONPOST_BUS_TLS_CERT=/cert"},
}

// TestEveryVariableChangesItsKey sets each variable alone, over no file and over the example that sets every key to something else.
func TestEveryVariableChangesItsKey(t *testing.T) {
	t.Parallel()
	before := effective(t, "")
	for _, v := range allVariables(t) {
		if v.want == "" {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			for _, path := range []string{"", examplePath} {
				environ := append([]string{v.name + "=" + v.text}, needed[v.name]...)
				_, loaded, err := loadAsRoot(path, environ...)
				require.NoError(t, err)
				got, known := loaded.Get(v.key)
				require.True(t, known)
				require.Equal(t, v.want, got.Text)
				require.NotEqual(t, before[v.key], got.Text, "the value is the default")
				require.Equal(t, config.Origin{Kind: config.FromVariable, Name: v.name}, got.Origin)
			}
		})
	}
}

// allVariables returns the table, and a row for each switch that is not in it, whose other
// value is known.
func allVariables(t *testing.T) []variable {
	t.Helper()
	_, loaded, err := loadAsRoot("")
	require.NoError(t, err)
	all := variables
	for _, v := range loaded.Values {
		other, isSwitch := map[string]string{"true": "false", "false": "true"}[v.Text]
		if isSwitch && !slices.ContainsFunc(variables, func(row variable) bool { return row.key == v.Key }) {
			all = append(all, variable{v.Variable, v.Key, other, other})
		}
	}
	return all
}

func TestEveryKeyHasARowInTheTableOfVariables(t *testing.T) {
	t.Parallel()
	_, loaded, err := loadAsRoot("")
	require.NoError(t, err)
	byKey := map[string]string{}
	for _, v := range allVariables(t) {
		byKey[v.key] = v.name
	}
	values := withVariables(loaded)
	require.Len(t, byKey, len(values))
	for _, v := range values {
		require.Equal(t, v.Variable, byKey[v.Key])
	}
}

func TestSecretsComeFromFiles(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("  postgres://u:hunter2@db/x\n"), 0o600))
	c, loaded, err := loadAsRoot("", "IRONPOST_STORAGE_POSTGRES_URL_FILE="+secret)
	require.NoError(t, err)
	require.Equal(t, "postgres://u:hunter2@db/x", c.LogPipeline.Storage.PostgresURL)
	shown, _ := loaded.Get("log_pipeline.storage.postgres_url")
	require.Equal(t, `"postgres://u:xxxxx@db/x"`, shown.Text)
	require.Equal(t, secret, shown.Origin.String())

	require.NoError(t, os.WriteFile(secret, []byte("redis://:hunter2@cache"), 0o600))
	c, _, err = loadAsRoot("", "IRONPOST_STORAGE_REDIS_URL_FILE="+secret)
	require.NoError(t, err)
	require.Equal(t, "redis://:hunter2@cache", c.LogPipeline.Storage.RedisURL)
}

func TestInvalidVariableIsNamed(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		"IRONPOST_LOG_PIPELINE_BATCH_SIZE=0":         "IRONPOST_LOG_PIPELINE_BATCH_SIZE: log_pipeline.batch_size: 0 is out of range, must be 1 to 10000",
		"IRONPOST_LOG_PIPELINE_BATCH_SIZE=ten":       `IRONPOST_LOG_PIPELINE_BATCH_SIZE: log_pipeline.batch_size: "ten" is not a whole number`,
		"IRONPOST_LOG_PIPELINE_ENABLED=yes":          `IRONPOST_LOG_PIPELINE_ENABLED: log_pipeline.enabled: "yes" is not allowed, must be one of true, false`,
		"IRONPOST_LOG_PIPELINE_SOURCES=file,journal": `IRONPOST_LOG_PIPELINE_SOURCES: log_pipeline.sources: element 2: "journal" is not allowed, must be one of auto, journald, kernel, file, docker, syslog, syslog_udp, syslog_tcp, syslog_tls, unix`,
		"IRONPOST_GENERAL_LOG_LEVEL=loud":            `IRONPOST_GENERAL_LOG_LEVEL: general.log_level: "loud" is not allowed, must be one of trace, debug, info, warn, error`,
		"IRONPOST_STORAGE_POSTGRES_URL=u:hunter2@db": "IRONPOST_STORAGE_POSTGRES_URL: log_pipeline.storage.postgres_url: is not a URL of this kind, must be postgres:// or postgresql://user:password@host:port/name, or with ?host=/folder of a unix socket",
		"IRONPOST_BUS_MODE=external":                 `IRONPOST_BUS_MODE: bus.mode: "external" needs url, the servers of the external bus`,
	}
	for entry, want := range cases {
		t.Run(entry, func(t *testing.T) {
			t.Parallel()
			_, _, err := loadAsRoot(examplePath, entry)
			require.EqualError(t, err, want)
		})
	}
}
