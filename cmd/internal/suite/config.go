package suite

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/setting"
)

// General is the section [general].
type General struct {
	// LogLevel is trace, debug, info, warn or error.
	LogLevel string `toml:"log_level"`
	// LogFormat is json or pretty.
	LogFormat string `toml:"log_format"`
	// DataDir is the folder that holds all state.
	DataDir string `toml:"data_dir"`
	// PIDFile holds the process id; empty means none. The lock that keeps a second instance out is in DataDir.
	PIDFile string `toml:"pid_file"`
	// StrictModes refuses a configuration, rules, policies, feeds, keys and a DataDir that other users than root and that of the process
	// can change.
	StrictModes bool `toml:"strict_modes"`
	// Host is this machine's name on the bus; empty means the hostname.
	Host string `toml:"host"`
}

// The words allowed in Bus.Mode.
const (
	BusEmbedded = "embedded"
	BusExternal = "external"
)

// Bus is the section [bus].
type Bus struct {
	// Mode is BusEmbedded or BusExternal.
	Mode string `toml:"mode"`
	// Observer opens ObserverListen, on which any user of this machine may watch and none may publish.
	Observer       bool   `toml:"observer"`
	ObserverListen string `toml:"observer_listen"`
	// ObserverPublished permits an ObserverListen that is no loopback address, in a container: who runs
	// it publishes the port on the host's loopback address.
	ObserverPublished bool `toml:"observer_published"`
	// ObserverEvidence lets observers see evidence, and the reasons and errors of actions.
	ObserverEvidence bool `toml:"observer_evidence"`
	// Socket is the operators' unix socket; empty means none.
	Socket string `toml:"socket"`
	// Listen is the address for other machines, with TLS and keys; empty means none.
	Listen string `toml:"listen"`
	// URL names the servers of an external bus, separated by commas. In mode embedded it is where
	// the programs of single modules that read the same file reach the daemon.
	URL string `toml:"url" secret:"true"`
	// Hub is the URL of another daemon's bus, to which this daemon forwards its alerts and actions; empty
	// means none. HubBundle is the folder with its certificates and key.
	Hub       string `toml:"hub"`
	HubBundle string `toml:"hub_bundle"`
	// CredentialsFile holds the key shown to an external bus, or is a folder with a key for each
	// module.
	CredentialsFile string `toml:"credentials_file"`
	// TLSCA, TLSCert and TLSKey are PEM files for Listen or URL.
	TLSCA   string `toml:"tls_ca"`
	TLSCert string `toml:"tls_cert"`
	TLSKey  string `toml:"tls_key"`
	// StoreDir is the folder of the streams; empty means the folder bus below the data folder.
	StoreDir string `toml:"store_dir"`
	// MaxStoreBytes bounds all streams together.
	MaxStoreBytes int64 `toml:"max_store_bytes"`
	// Replicas of each stream, on an external cluster.
	Replicas int `toml:"replicas"`
	// PacketsInFlight, AlertsInFlight and ActionsInFlight bound what is delivered but not acknowledged.
	PacketsInFlight int `toml:"packets_in_flight"`
	AlertsInFlight  int `toml:"alerts_in_flight"`
	ActionsInFlight int `toml:"actions_in_flight"`
}

// KeysDir is the folder with the public halves of the keys with which others join the bus.
func (c Bus) KeysDir() string { return filepath.Join(filepath.Dir(filepath.Clean(c.StoreDir)), "keys") }

// Health is the section [health].
type Health struct {
	// IntervalSecs is how often health is checked, logged and published.
	IntervalSecs int `toml:"interval_secs"`
}

// Interval is IntervalSecs as a duration.
func (h Health) Interval() time.Duration { return time.Duration(h.IntervalSecs) * time.Second }

// Metrics is the section [metrics].
type Metrics struct {
	// Enabled opens Listen for /metrics, /healthz and /readyz.
	Enabled bool   `toml:"enabled"`
	Listen  string `toml:"listen"`
	// Hosts are the names that requests may be addressed to, beside localhost and IP addresses.
	Hosts []string `toml:"hosts"`
}

// Derive fills the keys that follow from others when they are empty.
func (c *Config) Derive() {
	name, _ := os.Hostname() // without one hostToken makes localhost of ""
	c.General.Host = cmp.Or(c.General.Host, hostToken(name))
	if setting.Path(c.General.DataDir) != "" {
		return // Validate reports it, once
	}
	below := strings.TrimRight(c.General.DataDir, "/") + "/"
	c.Bus.StoreDir = cmp.Or(c.Bus.StoreDir, below+"bus")
	c.Collector.AuditPath = cmp.Or(c.Collector.AuditPath, below+"audit")
	c.SBOM.VulnDBPath = cmp.Or(c.SBOM.VulnDBPath, below+"vuln-db")
}

// hostToken makes a valid name on the bus of a hostname; it has at most the 63 characters of a label (RFC 1123).
func hostToken(name string) string {
	token := bus.HostToken(name)
	return token[:min(len(token), maxHost)]
}
