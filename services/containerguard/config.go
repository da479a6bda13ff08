package containerguard

import (
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/ironpost/ironpost/internal/glob"
	"github.com/ironpost/ironpost/internal/setting"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
	"github.com/ironpost/ironpost/services/containerguard/safety"
)

// Config is the section [container].
type Config struct {
	// Enabled starts the module.
	Enabled bool `toml:"enabled"`
	// DockerSocket is the path of Docker's socket, or tcp://host:port of a socket proxy.
	DockerSocket string `toml:"docker_socket"`
	// PollIntervalSecs is how often the list of containers is read.
	PollIntervalSecs int `toml:"poll_interval_secs"`
	// PolicyPath is a file or folder of policies.
	PolicyPath string `toml:"policy_path"`
	// AutoIsolate lets policies act; without it every step but a notification is a dry run.
	AutoIsolate bool `toml:"auto_isolate"`
	// MaxAlertAgeSecs is how old, by its own time, an alert may be to be acted on.
	MaxAlertAgeSecs int `toml:"max_alert_age_secs"`
	// ApprovalTimeoutSecs is how long a step waits for the approval of an operator, which its policy asks for.
	ApprovalTimeoutSecs int `toml:"approval_timeout_secs"`
	// MaxPerMinute bounds how many containers are newly acted on in any minute.
	MaxPerMinute int `toml:"max_per_minute"`
	// MaxPerProject bounds how many containers of one compose project are isolated at a time.
	MaxPerProject int `toml:"max_per_project"`
	// MaxSharePercent bounds which share of the running containers is isolated at a time.
	MaxSharePercent int `toml:"max_share_percent"`
	// MaxBlocksPerMinute bounds how many addresses and networks policies newly block in any minute, MaxBlocks how many at a
	// time, and MaxBlocksPerSource how many of these by the evidence of one source.
	MaxBlocksPerMinute int `toml:"max_blocks_per_minute"`
	MaxBlocks          int `toml:"max_blocks"`
	MaxBlocksPerSource int `toml:"max_blocks_per_source"`
	// Protected are patterns of container names that are never acted on.
	Protected []string `toml:"protected"`
	// TrustImageLabels are patterns of images whose labels count as if they were given to the container.
	TrustImageLabels []string `toml:"trust_image_labels"`
	// SenseConnections has the connections that containers begin sensed: one to an address new to a container is a sign.
	SenseConnections bool `toml:"sense_connections"`
	// NeverBlock are addresses and prefixes that are never blocked.
	NeverBlock []string `toml:"never_block"`
	// BlockPrivate lets private addresses be blocked.
	BlockPrivate bool `toml:"block_private"`
	// EvidenceMaxBytes bounds the evidence on the disk. The oldest is removed first, never that of an isolated container.
	EvidenceMaxBytes int64 `toml:"evidence_max_bytes"`
	// EvidenceRetentionDays is how long evidence is kept after its container was released.
	EvidenceRetentionDays int `toml:"evidence_retention_days"`
	// WebhookURL is where notifications are sent; WebhookURLFile is the file it was read from.
	WebhookURL     string `toml:"webhook_url" secret:"whole"`
	WebhookURLFile string `toml:"webhook_url_file"`
}

// DefaultConfig returns the defaults: disabled, and only dry runs when enabled.
func DefaultConfig() Config {
	return Config{
		DockerSocket: "/var/run/docker.sock", PollIntervalSecs: 10, PolicyPath: "/etc/ironpost/policies",
		MaxAlertAgeSecs: 300, ApprovalTimeoutSecs: 3600, MaxPerMinute: 10, MaxPerProject: 5, MaxSharePercent: 30,
		MaxBlocksPerMinute: 600, MaxBlocks: 5000, MaxBlocksPerSource: 1000,
		Protected: []string{}, TrustImageLabels: []string{}, SenseConnections: true, NeverBlock: []string{}, EvidenceMaxBytes: 4 << 30, EvidenceRetentionDays: 90,
	}
}

// Validate returns a problem for every value that is not allowed.
func (c Config) Validate() []setting.Problem {
	var p setting.Problems
	p.Add("docker_socket", setting.Socket(c.DockerSocket))
	p.Add("poll_interval_secs", setting.Between(c.PollIntervalSecs, 1, 3600))
	p.Add("policy_path", setting.Path(c.PolicyPath))
	p.Add("max_alert_age_secs", setting.Between(c.MaxAlertAgeSecs, 1, 86_400))
	p.Add("approval_timeout_secs", setting.Between(c.ApprovalTimeoutSecs, 60, 7*86_400))
	p.Add("max_per_minute", setting.Between(c.MaxPerMinute, 1, 10_000))
	p.Add("max_per_project", setting.Between(c.MaxPerProject, 1, 10_000))
	p.Add("max_share_percent", setting.Between(c.MaxSharePercent, 1, 100))
	p.Add("max_blocks_per_minute", setting.Between(c.MaxBlocksPerMinute, 1, 100_000))
	p.Add("max_blocks", setting.Between(c.MaxBlocks, 1, 100_000))
	p.Add("max_blocks_per_source", setting.Between(c.MaxBlocksPerSource, 1, 100_000))
	p.Each("protected", c.Protected, checkPattern)
	p.Each("trust_image_labels", c.TrustImageLabels, checkImagePattern)
	p.Each("never_block", c.NeverBlock, checkPrefix)
	p.Add("evidence_max_bytes", setting.Between(c.EvidenceMaxBytes, 1<<20, 1<<50))
	p.Add("evidence_retention_days", setting.Between(c.EvidenceRetentionDays, 1, 3650))
	p.Add("webhook_url", checkWebhook(c.WebhookURL))
	p.Add("webhook_url_file", setting.OptionalPath(c.WebhookURLFile))
	return p
}

func checkPattern(pattern string) string {
	if pattern == "" || len(pattern) > 256 || strings.ContainsAny(pattern, " /\\@") {
		return setting.Shown(pattern) + " is not a pattern of container names, must be a name in which * and ? are wildcards"
	}
	return ""
}

func checkImagePattern(pattern string) string {
	if pattern == "" || len(pattern) > glob.MaxPattern || strings.ContainsAny(pattern, " \\") || strings.Contains(pattern, "..") {
		return setting.Shown(pattern) + " is not a pattern of images, must be a name such as registry.example/shop/*, in which * and ? are wildcards"
	}
	return ""
}

func checkPrefix(text string) string {
	if _, err := parsePrefix(text); err != nil {
		return setting.Shown(text) + " is neither an address nor a prefix such as 192.0.2.0/24"
	}
	return ""
}

func parsePrefix(text string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked(), nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
}

// checkWebhook never shows the value: for many services the URL is a secret.
func checkWebhook(text string) string {
	if text == "" {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "is not a webhook, must be an https:// or http:// URL or empty"
	}
	return ""
}

func (c Config) maxAge() time.Duration { return time.Duration(c.MaxAlertAgeSecs) * time.Second }

func (c Config) approvalTimeout() time.Duration {
	return time.Duration(c.ApprovalTimeoutSecs) * time.Second
}

func (c Config) pollInterval() time.Duration { return time.Duration(c.PollIntervalSecs) * time.Second }

func (c Config) limits() safety.Limits {
	return safety.Limits{PerMinute: c.MaxPerMinute, PerProject: c.MaxPerProject, Share: c.MaxSharePercent}
}

func (c Config) blockLimits() safety.BlockLimits {
	return safety.BlockLimits{PerMinute: c.MaxBlocksPerMinute, Total: c.MaxBlocks, PerSource: c.MaxBlocksPerSource}
}

func (c Config) evidenceLimits() quarantine.EvidenceLimits {
	return quarantine.EvidenceLimits{MaxBytes: c.EvidenceMaxBytes, Retention: time.Duration(c.EvidenceRetentionDays) * 24 * time.Hour}
}

// blockFilter returns the filter of source addresses that c, which is valid, asks for.
func (c Config) blockFilter() safety.BlockFilter {
	a := safety.BlockFilter{AllowPrivate: c.BlockPrivate}
	for _, text := range c.NeverBlock {
		if p, err := parsePrefix(text); err == nil {
			a.NeverBlock = append(a.NeverBlock, p)
		}
	}
	return a
}
