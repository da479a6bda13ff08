package logpipeline

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/internal/setting"
	"github.com/ironpost/ironpost/services/logpipeline/syslog"
	"github.com/ironpost/ironpost/services/logpipeline/tail"
)

// The values allowed in Config.Sources.
const (
	SourceSyslog    = "syslog" // UDP and TCP
	SourceSyslogUDP = "syslog_udp"
	SourceSyslogTCP = "syslog_tcp"
	SourceSyslogTLS = "syslog_tls"
	SourceUnix      = "unix" // a datagram socket, as /dev/log is one
	SourceFile      = "file"
	SourceDocker    = "docker" // logs of containers, read through the Docker API
	SourceJournald  = "journald"
	SourceKernel    = "kernel" // the kernel's log: of the journal, or /dev/kmsg without one
	// SourceAuto is SourceSyslog, and what the host has of files, the journal and the kernel's log. Where a journal is in use, files
	// that a syslog daemon writes are not read: they have the same lines, without proof of their writers.
	SourceAuto = "auto"
)

// allSources are the values allowed in Config.Sources.
var allSources = []string{SourceAuto, SourceJournald, SourceKernel, SourceFile, SourceDocker, SourceSyslog, SourceSyslogUDP, SourceSyslogTCP, SourceSyslogTLS, SourceUnix}

// maxSocketPath is the most bytes of the path of a unix socket (unix(7)).
const maxSocketPath = 107

const (
	maxBatch   = 10_000
	minLine    = 1 << 10
	maxLine    = 1 << 20
	maxWatched = 1_000_000
	// maxBatchBytes bounds the memory of one batch: batch_size lines of max_line_bytes.
	maxBatchBytes = 256 << 20
)

// Config is the section [log_pipeline].
type Config struct {
	// Enabled starts the module.
	Enabled bool `toml:"enabled"`
	// Sources lists the inputs to read: the Source constants.
	Sources []string `toml:"sources"`
	// SyslogBind is the address of the UDP listener.
	SyslogBind string `toml:"syslog_bind"`
	// SyslogTCPBind is the address of the TCP listener.
	SyslogTCPBind string `toml:"syslog_tcp_bind"`
	// SyslogTLSBind is the address of the TLS listener.
	SyslogTLSBind string `toml:"syslog_tls_bind"`
	// SyslogTLSCert and SyslogTLSKey are files of the certificate, with its chain, and of the key of the TLS listener.
	SyslogTLSCert string `toml:"syslog_tls_cert"`
	SyslogTLSKey  string `toml:"syslog_tls_key"`
	// SyslogTLSClientCA is a file of certificates: a sender with a certificate issued by one of them is authenticated. Empty: none is.
	SyslogTLSClientCA string `toml:"syslog_tls_client_ca"`
	// UnixSocket is the path of the datagram socket.
	UnixSocket string `toml:"unix_socket"`
	// WatchPaths are files to follow, as absolute paths or shell patterns. A missing file is read once it appears.
	WatchPaths []string `toml:"watch_paths"`
	// JournalPaths are the folders of the journal, as absolute paths; each has a folder for each machine.
	JournalPaths []string `toml:"journal_paths"`
	// BatchSize is the most rows that are written to PostgreSQL at once.
	BatchSize int `toml:"batch_size"`
	// FlushIntervalSecs is how long, in seconds, a line waits at most before it is written to PostgreSQL.
	FlushIntervalSecs int `toml:"flush_interval_secs"`
	// CheckpointIntervalSecs is how often, in seconds, positions are saved while lines arrive.
	CheckpointIntervalSecs int `toml:"checkpoint_interval_secs"`
	// RulesPath is a file or folder of Sigma rules of one's own; empty means none.
	RulesPath string `toml:"rules_path"`
	// ShippedRules loads the shipped rules, too.
	ShippedRules bool `toml:"shipped_rules"`
	// FormatsPath is a file or folder of log formats of one's own in TOML; empty means none.
	FormatsPath string `toml:"formats_path"`
	// QuietAfterSecs is the shortest silence of an input, in seconds, that is a health reason where it was never so long; 0 for none.
	QuietAfterSecs int `toml:"quiet_after_secs"`
	// DedupWindowSecs is how long, in seconds, alerts of one rule and entity are counted as one.
	DedupWindowSecs int `toml:"dedup_window_secs"`
	// MaxLineBytes is the length at which a line is cut.
	MaxLineBytes int `toml:"max_line_bytes"`
	// MaxWatchedFiles limits the files that the patterns of WatchPaths are followed for at once.
	MaxWatchedFiles int `toml:"max_watched_files"`
	// SpoolMaxBytes bounds the spool of received syslog messages on disk. Full: TCP stops reading, UDP drops and counts.
	SpoolMaxBytes int64 `toml:"spool_max_bytes"`
	// SyslogMaxConnections limits the open TCP connections for syslog, SyslogMaxConnectionsPerPeer those of one address or IPv6 /64. For one
	// more, an idle one is closed.
	SyslogMaxConnections        int `toml:"syslog_max_connections"`
	SyslogMaxConnectionsPerPeer int `toml:"syslog_max_connections_per_peer"`
	// SyslogIdleSecs is how long, in seconds, a TCP connection for syslog may be without a complete message.
	SyslogIdleSecs int `toml:"syslog_idle_secs"`
	// SyslogUDPQueueBytes limits the received UDP messages that wait to be spooled; each sender has a share.
	SyslogUDPQueueBytes int `toml:"syslog_udp_queue_bytes"`
	// Timezone is the zone of times without one, where Input has no other: an IANA name, or a Zone constant.
	Timezone string `toml:"timezone"`
	// TrustedProxies are prefixes of addresses of proxies, where Input has no others.
	TrustedProxies []string `toml:"trusted_proxies"`
	// Input has settings for some inputs.
	Input []Input `toml:"input"`
	// Storage configures stores besides the streams. Its environment variables begin with IRONPOST_STORAGE_.
	Storage Storage `toml:"storage" env:"STORAGE"`
}

// Storage is the section [log_pipeline.storage].
type Storage struct {
	// PostgresURL is a postgres:// URL; empty stores records in the streams only.
	PostgresURL string `toml:"postgres_url" secret:"true"`
	// PostgresURLFile is a file that contains PostgresURL.
	PostgresURLFile string `toml:"postgres_url_file"`
	// RedisURL is a redis:// URL for counts that replicas share; empty keeps them in memory.
	RedisURL string `toml:"redis_url" secret:"true"`
	// RedisURLFile is a file that contains RedisURL.
	RedisURLFile string `toml:"redis_url_file"`
	// RetentionDays is how long alerts and actions are kept, and lines in PostgreSQL.
	RetentionDays int `toml:"retention_days"`
	// LogLines stores every line in PostgreSQL too.
	LogLines bool `toml:"log_lines"`
	// TextIndex builds an index for text search in the lines of each closed day.
	TextIndex bool `toml:"text_index"`
	// QueueMaxBytes bounds the lines that wait on disk for PostgreSQL.
	QueueMaxBytes int64 `toml:"queue_max_bytes"`
}

// DefaultConfig returns the defaults: enabled, syslog on loopback, the usual log files of Debian and Red Hat.
func DefaultConfig() Config {
	return Config{
		Enabled:       true,
		Sources:       []string{SourceAuto},
		SyslogBind:    "127.0.0.1:5514",
		SyslogTCPBind: "127.0.0.1:5514",
		SyslogTLSBind: "127.0.0.1:6514",
		UnixSocket:    "/run/ironpost/log.sock",
		WatchPaths: []string{
			"/var/log/syslog", "/var/log/messages", "/var/log/auth.log", "/var/log/secure",
			"/var/log/nginx/access.log", "/var/log/apache2/access.log", "/var/log/apache2/other_vhosts_access.log", "/var/log/httpd/access_log",
			"/var/log/nginx/error.log", "/var/log/apache2/error.log", "/var/log/httpd/error_log", "/var/log/audit/audit.log",
		},
		JournalPaths:           []string{"/var/log/journal", "/run/log/journal"},
		BatchSize:              100,
		FlushIntervalSecs:      5,
		CheckpointIntervalSecs: 5,
		ShippedRules:           true,
		QuietAfterSecs:         3600,
		DedupWindowSecs:        60,
		MaxLineBytes:           64 << 10,
		MaxWatchedFiles:        tail.DefaultMaxFiles,
		SpoolMaxBytes:          1 << 30,

		SyslogMaxConnections:        syslog.DefaultMaxConns,
		SyslogMaxConnectionsPerPeer: syslog.DefaultMaxPerPeer,
		SyslogIdleSecs:              int(syslog.DefaultIdle / time.Second),
		SyslogUDPQueueBytes:         syslog.DefaultUDPQueue,

		Timezone:       ZoneAuto,
		TrustedProxies: []string{},

		Storage: Storage{RetentionDays: 30, LogLines: true, QueueMaxBytes: 1 << 30},
	}
}

// SyslogUDP reports whether the UDP listener is enabled.
func (c Config) SyslogUDP() bool {
	return c.has(SourceAuto) || c.has(SourceSyslog) || c.has(SourceSyslogUDP)
}

// SyslogTCP reports whether the TCP listener is enabled.
func (c Config) SyslogTCP() bool {
	return c.has(SourceAuto) || c.has(SourceSyslog) || c.has(SourceSyslogTCP)
}

// SyslogTLS reports whether the TLS listener is enabled.
func (c Config) SyslogTLS() bool { return c.has(SourceSyslogTLS) }

// Unix reports whether the unix socket is enabled.
func (c Config) Unix() bool { return c.has(SourceUnix) }

// Files reports whether WatchPaths are followed.
func (c Config) Files() bool { return c.has(SourceAuto) || c.has(SourceFile) }

// Journal reports whether the journal is read, where there is one.
func (c Config) Journal() bool { return c.has(SourceAuto) || c.has(SourceJournald) }

// Docker reports whether the logs of containers are read.
func (c Config) Docker() bool { return c.has(SourceDocker) }

// checkpointInterval returns how often positions are saved. A line can be written to PostgreSQL once a checkpoint is behind it, so
// where lines are stored the flush interval bounds it, too.
func (c Config) checkpointInterval() time.Duration {
	secs := c.CheckpointIntervalSecs
	if storageConfig(c).URL != "" {
		secs = min(secs, c.FlushIntervalSecs)
	}
	return time.Duration(secs) * time.Second
}

// DedupWindow is DedupWindowSecs as a duration.
func (c Config) DedupWindow() time.Duration { return time.Duration(c.DedupWindowSecs) * time.Second }

// Retention is RetentionDays as a duration.
func (s Storage) Retention() time.Duration { return time.Duration(s.RetentionDays) * 24 * time.Hour }

func (c Config) has(source string) bool { return slices.Contains(c.Sources, source) }

// Validate returns the problems of c.
func (c Config) Validate() []setting.Problem {
	var p setting.Problems
	c.validateSources(&p)
	p.Add("batch_size", setting.Between(c.BatchSize, 1, maxBatch))
	p.Add("flush_interval_secs", setting.Between(c.FlushIntervalSecs, 1, 3600))
	p.Add("checkpoint_interval_secs", setting.Between(c.CheckpointIntervalSecs, 1, 3600))
	p.Add("rules_path", setting.OptionalPath(c.RulesPath))
	p.Add("formats_path", setting.OptionalPath(c.FormatsPath))
	if c.QuietAfterSecs != 0 {
		p.Add("quiet_after_secs", setting.Between(c.QuietAfterSecs, 5, 604_800))
	}
	p.Add("dedup_window_secs", setting.Between(c.DedupWindowSecs, 1, 86_400))
	p.Add("max_line_bytes", setting.Between(c.MaxLineBytes, minLine, maxLine))
	p.Add("max_watched_files", setting.Between(c.MaxWatchedFiles, 1, maxWatched))
	p.Add("spool_max_bytes", setting.Between(c.SpoolMaxBytes, 1<<20, 1<<40))
	p.Add("syslog_max_connections", setting.Between(c.SyslogMaxConnections, 1, 65_536))
	p.Add("syslog_max_connections_per_peer", setting.Between(c.SyslogMaxConnectionsPerPeer, 1, 65_536))
	p.Add("syslog_idle_secs", setting.Between(c.SyslogIdleSecs, 1, 86_400))
	p.Add("syslog_udp_queue_bytes", setting.Between(c.SyslogUDPQueueBytes, 1<<20, 1<<30))
	c.validateInputs(&p)
	if c.BatchSize <= maxBatch && c.MaxLineBytes <= maxLine && c.BatchSize*c.MaxLineBytes > maxBatchBytes {
		p.Addf("batch_size", "%d lines of max_line_bytes %d are more than the %d bytes a batch may hold in memory", c.BatchSize, c.MaxLineBytes, maxBatchBytes)
	}
	return append(p, setting.Problems(c.Storage.Validate()).Under("storage")...)
}

func (c Config) validateSources(p *setting.Problems) {
	if len(c.Sources) == 0 {
		p.Add("sources", "must not be empty, must hold some of "+strings.Join(allSources, ", "))
	}
	p.Each("sources", c.Sources, checkSource)
	p.Add("syslog_bind", setting.HostPort(c.SyslogBind))
	p.Add("syslog_tcp_bind", setting.HostPort(c.SyslogTCPBind))
	p.Add("syslog_tls_bind", setting.HostPort(c.SyslogTLSBind))
	checkFile := setting.OptionalPath
	if c.SyslogTLS() {
		checkFile = setting.Path
	}
	p.Add("syslog_tls_cert", checkFile(c.SyslogTLSCert))
	p.Add("syslog_tls_key", checkFile(c.SyslogTLSKey))
	p.Add("syslog_tls_client_ca", setting.OptionalPath(c.SyslogTLSClientCA))
	p.Add("unix_socket", checkSocket(c.UnixSocket))
	if c.Files() && len(c.WatchPaths) == 0 {
		p.Add("watch_paths", "must not be empty while sources holds file or auto")
	}
	p.Each("watch_paths", c.WatchPaths, setting.Glob)
	if c.Journal() && len(c.JournalPaths) == 0 {
		p.Add("journal_paths", "must not be empty while sources holds journald or auto")
	}
	p.Each("journal_paths", c.JournalPaths, setting.Path)
}

func checkSource(source string) string { return setting.OneOf(source, allSources...) }

// checkSocket returns "" if path may be that of a unix socket, which the kernel limits in length.
func checkSocket(path string) string {
	if len(path) > maxSocketPath {
		return fmt.Sprintf("has %d bytes, the path of a socket must have at most %d", len(path), maxSocketPath)
	}
	return setting.Path(path)
}

// Validate returns the problems of s. A problem never quotes a URL, which may hold a password.
func (s Storage) Validate() []setting.Problem {
	var p setting.Problems
	p.Add("postgres_url", checkURL(s.PostgresURL, "postgres", "postgresql"))
	p.Add("postgres_url_file", setting.OptionalPath(s.PostgresURLFile))
	p.Add("redis_url", checkURL(s.RedisURL, "redis", "rediss"))
	p.Add("redis_url_file", setting.OptionalPath(s.RedisURLFile))
	p.Add("retention_days", setting.Between(s.RetentionDays, 1, 3650))
	p.Add("queue_max_bytes", setting.Between(s.QueueMaxBytes, 1<<20, 1<<40))
	return p
}

func checkURL(value string, schemes ...string) string {
	if value == "" {
		return ""
	}
	u, err := url.Parse(value)
	if err != nil || u.Host == "" && !strings.HasPrefix(u.Query().Get("host"), "/") || setting.OneOf(u.Scheme, schemes...) != "" {
		return "is not a URL of this kind, must be " + strings.Join(schemes, ":// or ") + "://user:password@host:port/name, or with ?host=/folder of a unix socket"
	}
	return ""
}
