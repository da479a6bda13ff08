package logpipeline_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/setting"
	"github.com/ironpost/ironpost/services/logpipeline"
)

func TestDefaultsAreValid(t *testing.T) {
	t.Parallel()
	c := logpipeline.DefaultConfig()
	require.Empty(t, c.Validate())
	require.Equal(t, time.Minute, c.DedupWindow())
	require.Equal(t, 720*time.Hour, c.Storage.Retention())
}

func TestSourcesOpenTheirInputs(t *testing.T) {
	t.Parallel()
	cases := map[string][3]bool{"syslog": {true, true, false}, "syslog_udp": {true, false, false}, "syslog_tcp": {false, true, false}, "file": {false, false, true}}
	for source, want := range cases {
		c := logpipeline.Config{Sources: []string{source}}
		require.Equal(t, want, [3]bool{c.SyslogUDP(), c.SyslogTCP(), c.Files()}, source)
	}
}

func TestEveryInvalidValueIsReported(t *testing.T) {
	t.Parallel()
	cases := map[string]func(*logpipeline.Config){
		"sources":                         func(c *logpipeline.Config) { c.Sources = nil },
		"sources.1":                       func(c *logpipeline.Config) { c.Sources = []string{"file", "journal"} },
		"syslog_bind":                     func(c *logpipeline.Config) { c.SyslogBind = "514" },
		"syslog_tcp_bind":                 func(c *logpipeline.Config) { c.SyslogTCPBind = "" },
		"syslog_tls_bind":                 func(c *logpipeline.Config) { c.SyslogTLSBind = "tls" },
		"syslog_tls_key":                  func(c *logpipeline.Config) { c.Sources, c.SyslogTLSCert = []string{"syslog_tls"}, "/cert.pem" },
		"syslog_tls_cert":                 func(c *logpipeline.Config) { c.Sources, c.SyslogTLSKey = []string{"syslog_tls"}, "/key.pem" },
		"syslog_tls_client_ca":            func(c *logpipeline.Config) { c.SyslogTLSClientCA = "ca.pem" },
		"unix_socket":                     func(c *logpipeline.Config) { c.UnixSocket = "" },
		"watch_paths":                     func(c *logpipeline.Config) { c.WatchPaths = nil },
		"watch_paths.0":                   func(c *logpipeline.Config) { c.WatchPaths = []string{"log"} },
		"batch_size":                      func(c *logpipeline.Config) { c.BatchSize = 10_001 },
		"flush_interval_secs":             func(c *logpipeline.Config) { c.FlushIntervalSecs = 0 },
		"checkpoint_interval_secs":        func(c *logpipeline.Config) { c.CheckpointIntervalSecs = 0 },
		"rules_path":                      func(c *logpipeline.Config) { c.RulesPath = "rules" },
		"quiet_after_secs":                func(c *logpipeline.Config) { c.QuietAfterSecs = 604_801 },
		"dedup_window_secs":               func(c *logpipeline.Config) { c.DedupWindowSecs = 86_401 },
		"max_line_bytes":                  func(c *logpipeline.Config) { c.MaxLineBytes = 1023 },
		"max_watched_files":               func(c *logpipeline.Config) { c.MaxWatchedFiles = 0 },
		"spool_max_bytes":                 func(c *logpipeline.Config) { c.SpoolMaxBytes = 1 },
		"syslog_max_connections":          func(c *logpipeline.Config) { c.SyslogMaxConnections = 0 },
		"syslog_idle_secs":                func(c *logpipeline.Config) { c.SyslogIdleSecs = 0 },
		"syslog_udp_queue_bytes":          func(c *logpipeline.Config) { c.SyslogUDPQueueBytes = 1 },
		"syslog_max_connections_per_peer": func(c *logpipeline.Config) { c.SyslogMaxConnectionsPerPeer = 65_537 },
		"storage.postgres_url":            func(c *logpipeline.Config) { c.Storage.PostgresURL = "mysql://h" },
		"storage.postgres_url_file":       func(c *logpipeline.Config) { c.Storage.PostgresURLFile = "secret" },
		"storage.redis_url":               func(c *logpipeline.Config) { c.Storage.RedisURL = "redis:x" },
		"storage.redis_url_file":          func(c *logpipeline.Config) { c.Storage.RedisURLFile = "secret" },
		"timezone":                        func(c *logpipeline.Config) { c.Timezone = "Mars/Olympus" },
		"trusted_proxies.1":               func(c *logpipeline.Config) { c.TrustedProxies = []string{"10.0.0.0/8", "proxy"} },
		"input.0.path":                    func(c *logpipeline.Config) { c.Input = []logpipeline.Input{{}} },
		"input.1.path":                    func(c *logpipeline.Config) { c.Input = []logpipeline.Input{{Path: "/a"}, {Path: "/a", Unit: "b"}} },
		"input.0.listen":                  func(c *logpipeline.Config) { c.Input = []logpipeline.Input{{Listen: "file"}} },
		"input.0.peers":                   func(c *logpipeline.Config) { c.Input = []logpipeline.Input{{Path: "/a", Peers: []string{"::1"}}} },
		"input.0.peers.0": func(c *logpipeline.Config) {
			c.Input = []logpipeline.Input{{Listen: "syslog_udp", Peers: []string{"h"}}}
		},
		"input.0.format":   func(c *logpipeline.Config) { c.Input = []logpipeline.Input{{Path: "/a", Format: "xml"}} },
		"input.0.timezone": func(c *logpipeline.Config) { c.Input = []logpipeline.Input{{Path: "/a", Timezone: "Local"}} },
		"input.0.trusted_proxies.0": func(c *logpipeline.Config) {
			c.Input = []logpipeline.Input{{Path: "/a", TrustedProxies: []string{"1/8"}}}
		},
		"input.0.trust":          func(c *logpipeline.Config) { c.Input = []logpipeline.Input{{Path: "/a", Trust: "kernel"}} },
		"input.0.unit":           func(c *logpipeline.Config) { c.Input = []logpipeline.Input{{Unit: "["}} },
		"input.0.container":      func(c *logpipeline.Config) { c.Input = []logpipeline.Input{{Container: "["}} },
		"storage.retention_days": func(c *logpipeline.Config) { c.Storage.RetentionDays = 3651 },
	}
	for key, invalidate := range cases {
		c := logpipeline.DefaultConfig()
		invalidate(&c)
		require.Equal(t, []string{key}, keys(c.Validate()))
	}
}

func keys(problems []setting.Problem) []string {
	var names []string
	for _, p := range problems {
		names = append(names, p.Key)
	}
	return names
}
