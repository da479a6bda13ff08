package suite

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/bus/embedded"
	"github.com/ironpost/ironpost/internal/setting"
)

const (
	maxHost     = 63  // RFC 1123, one label
	maxHostName = 253 // RFC 1035, section 2.3.4
	minStore    = 64 << 20
	maxStore    = 1 << 50
)

// Validate returns a problem for every value that may not be used, with full keys. The section of a disabled module is not checked.
func (c Config) Validate() []setting.Problem {
	var p setting.Problems
	p = append(p, c.General.problems().Under("general")...)
	p = append(p, c.Bus.problems().Under("bus")...)
	p.Add("health.interval_secs", setting.Between(c.Health.IntervalSecs, 1, 3600))
	if c.Metrics.Enabled {
		p.Add("metrics.listen", setting.HostPort(c.Metrics.Listen))
		p.Each("metrics.hosts", c.Metrics.Hosts, checkHostName)
	}
	for _, m := range sections() {
		if m.Enabled(c) {
			p = append(p, setting.Problems(m.Config(c).Validate()).Under(m.Section)...)
		}
	}
	if !c.LogPipeline.Enabled { // retention_days holds for the streams without the module too
		p = append(p, setting.Problems(c.LogPipeline.Storage.Validate()).Under("log_pipeline.storage")...)
	}
	return append(p, c.sharedAddresses()...)
}

func (g General) problems() setting.Problems {
	var p setting.Problems
	p.Add("log_level", setting.OneOf(g.LogLevel, "trace", "debug", "info", "warn", "error"))
	p.Add("log_format", setting.OneOf(g.LogFormat, "json", "pretty"))
	p.Add("data_dir", setting.Path(g.DataDir))
	p.Add("pid_file", setting.OptionalPath(g.PIDFile))
	if g.Host != hostToken(g.Host) {
		p.Addf("host", "%s is not a valid name on the bus, must be 1 to %d of a-z, 0-9 and -", setting.Shown(g.Host), maxHost)
	}
	return p
}

func (b Bus) problems() setting.Problems {
	var p setting.Problems
	p.Add("mode", setting.OneOf(b.Mode, BusEmbedded, BusExternal))
	if b.Observer {
		check := loopback
		if b.ObserverPublished {
			check = setting.HostPort
		}
		p.Add("observer_listen", check(b.ObserverListen))
	}
	p.Add("socket", checkSocket(b.Socket))
	p.Add("listen", setting.OptionalHostPort(b.Listen))
	p.Add("hub_bundle", setting.OptionalPath(b.HubBundle))
	p.Add("credentials_file", setting.OptionalPath(b.CredentialsFile))
	p.Add("tls_ca", setting.OptionalPath(b.TLSCA))
	p.Add("tls_cert", setting.OptionalPath(b.TLSCert))
	p.Add("tls_key", setting.OptionalPath(b.TLSKey))
	p.Add("store_dir", setting.OptionalPath(b.StoreDir))
	p.Add("max_store_bytes", setting.Between(b.MaxStoreBytes, minStore, maxStore))
	p.Add("packets_in_flight", setting.Between(b.PacketsInFlight, 1, 65_536))
	p.Add("alerts_in_flight", setting.Between(b.AlertsInFlight, 1, 65_536))
	p.Add("actions_in_flight", setting.Between(b.ActionsInFlight, 1, 65_536))
	b.crossCheck(&p)
	return p
}

// crossCheck checks keys that depend on each other. A problem stands at the key that was set, not at the one that is missing.
func (b Bus) crossCheck(p *setting.Problems) {
	switch {
	case b.Mode == BusExternal && b.URL == "":
		p.Addf("mode", "%q needs url, the servers of the external bus", b.Mode)
	default:
		p.Add("url", checkServers(b.URL))
	}
	if b.Mode == BusExternal && b.Listen != "" {
		p.Addf("listen", "is only for mode = %q", BusEmbedded)
	}
	b.checkHub(p)
	if b.Listen != "" && (b.TLSCA == "" || b.TLSCert == "" || b.TLSKey == "") {
		p.Add("listen", "needs tls_ca, tls_cert and tls_key: other machines connect with certificates only")
	}
	switch {
	case b.Listen == "" && b.TLSCert != "" && b.TLSKey == "":
		p.Add("tls_cert", "needs tls_key")
	case b.Listen == "" && b.TLSKey != "" && b.TLSCert == "":
		p.Add("tls_key", "needs tls_cert")
	}
	switch {
	case b.Replicas != 1 && b.Replicas != 3 && b.Replicas != 5:
		p.Addf("replicas", "%d is not allowed, must be one of 1, 3, 5", b.Replicas)
	case b.Replicas > 1 && b.Mode == BusEmbedded:
		p.Addf("replicas", "%d needs mode = %q, an embedded bus is one server", b.Replicas, BusExternal)
	}
}

// checkHub checks what makes the daemon an edge.
func (b Bus) checkHub(p *setting.Problems) {
	if b.Hub == "" {
		return
	}
	u, err := url.Parse(b.Hub)
	switch {
	case err != nil || u.Scheme != "tls" || u.Hostname() == "" || u.Port() == "":
		p.Add("hub", "must be tls://host:port")
	case b.Mode != BusEmbedded:
		p.Addf("hub", "is only for mode = %q: an edge has a bus of its own", BusEmbedded)
	case b.HubBundle == "":
		p.Add("hub", "needs hub_bundle, the folder that ironpost bus add-host --edge makes on the hub")
	}
}

func checkServers(list string) string {
	if list == "" {
		return ""
	}
	for server := range strings.SplitSeq(list, ",") {
		u, err := url.Parse(strings.TrimSpace(server))
		if err != nil || u.Host == "" || u.Scheme != "nats" && u.Scheme != "tls" {
			return "must be nats://host:port or tls://host:port, several separated by commas"
		}
	}
	return ""
}

// checkHostName accepts names as in a URL, without a port.
func checkHostName(name string) string {
	const allowed = "abcdefghijklmnopqrstuvwxyz0123456789-._"
	if name == "" || len(name) > maxHostName || strings.Trim(strings.ToLower(name), allowed) != "" {
		return setting.Shown(name) + " is not a host name, must be as in a URL, without a port"
	}
	return ""
}

func checkSocket(path string) string {
	if len(path) > embedded.MaxSocketPath {
		return fmt.Sprintf("%s is too long for a unix socket, must be at most %d bytes", setting.Shown(path), embedded.MaxSocketPath)
	}
	return setting.OptionalPath(path)
}

// loopback refuses an address that other machines reach: the observer's port asks for no key.
func loopback(address string) string {
	if problem := setting.HostPort(address); problem != "" {
		return problem
	}
	if !isLoopback(address) {
		return setting.Shown(address) + " is reachable from other machines, must be a loopback address such as 127.0.0.1:4222; in a container whose port is published on the host's loopback address, set observer_published"
	}
	return ""
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// plainRemote reports whether URL names another machine and nothing is encrypted on the way. With a certificate, nats:// is, too.
func (b Bus) plainRemote() bool {
	if b.TLSCA != "" || b.TLSCert != "" {
		return false
	}
	return slices.ContainsFunc(strings.Split(b.URL, ","), func(server string) bool {
		u, err := url.Parse(strings.TrimSpace(server))
		return err == nil && u.Scheme == "nats" && !isLoopback(net.JoinHostPort(u.Hostname(), "4222"))
	})
}

// plainRemote reports whether a PostgreSQL URL names another machine without having its certificate verified.
func plainRemote(text string) bool {
	u, err := url.Parse(text)
	local := err == nil && u.Host == "" && strings.HasPrefix(u.Query().Get("host"), "/") // the folder of a unix socket
	return text != "" && err == nil && !local && !isLoopback(net.JoinHostPort(u.Hostname(), "5432")) && u.Query().Get("sslmode") != "verify-full"
}

// sharedAddresses refuses two TCP listeners on one address.
func (c Config) sharedAddresses() setting.Problems {
	var p setting.Problems
	listeners := []struct {
		key, address string
		open         bool
	}{
		{"bus.observer_listen", c.Bus.ObserverListen, c.Bus.Observer},
		{"bus.listen", c.Bus.Listen, c.Bus.Listen != ""},
		{"metrics.listen", c.Metrics.Listen, c.Metrics.Enabled},
		{"log_pipeline.syslog_tcp_bind", c.LogPipeline.SyslogTCPBind, c.LogPipeline.Enabled && c.LogPipeline.SyslogTCP()},
		{"log_pipeline.syslog_tls_bind", c.LogPipeline.SyslogTLSBind, c.LogPipeline.Enabled && c.LogPipeline.SyslogTLS()},
	}
	taken := map[string]string{}
	for _, l := range listeners {
		if !l.open {
			continue
		}
		if other, twice := taken[l.address]; twice {
			p.Addf(l.key, "%s is also %s, must be an address of its own", setting.Shown(l.address), other)
		}
		taken[l.address] = l.key
	}
	return p
}

// Warnings returns settings that are allowed but probably not intended.
func (c Config) Warnings() []setting.Problem {
	const open = "is reachable from other machines, and syslog does not authenticate its senders"
	logs, storage := c.LogPipeline, c.LogPipeline.Storage
	var p setting.Problems
	for _, w := range []struct {
		holds        bool
		key, warning string
	}{
		{c.Bus.ObserverEvidence && !c.Bus.Observer, "bus.observer_evidence", "has no effect while observer is false"},
		{c.Bus.ObserverPublished && !c.Bus.Observer, "bus.observer_published", "has no effect while observer is false"},
		{c.Bus.ObserverPublished && c.Bus.Observer && isLoopback(c.Bus.ObserverListen), "bus.observer_published", "has no effect while observer_listen is a loopback address"},
		{c.Bus.plainRemote(), "bus.url", "is not encrypted: others on the way may read and change what is sent, write tls://host:port and set tls_ca"},
		{storage.PostgresURL != "" && !c.Collector.Enabled, "log_pipeline.storage.postgres_url", "the action collector, which stores alerts and actions there, is not enabled here"},
		{storage.PostgresURL != "" && c.Bus.Hub != "", "log_pipeline.storage.postgres_url", "only lines are stored in it: this daemon is an edge, whose alerts and actions the hub stores"},
		{storage.TextIndex && !storage.LogLines, "log_pipeline.storage.text_index", "is for lines, which are not stored: log_lines is false"},
		{plainRemote(storage.PostgresURL), "log_pipeline.storage.postgres_url", "does not verify the server, set sslmode=verify-full and sslrootcert: else others on the way may read the password and the records"},
		{storage.RedisURL != "", "log_pipeline.storage.redis_url", "this build shares no counts yet, they stay in memory"},
		{logs.Enabled && logs.SyslogUDP() && !isLoopback(logs.SyslogBind), "log_pipeline.syslog_bind", open},
		{logs.Enabled && logs.SyslogTCP() && !isLoopback(logs.SyslogTCPBind), "log_pipeline.syslog_tcp_bind", open},
		{logs.Enabled && logs.SyslogTLS() && logs.SyslogTLSClientCA == "", "log_pipeline.syslog_tls_client_ca", "is empty: anyone may send, so lines from there are unproven"},
		{c.Metrics.Enabled && !isLoopback(c.Metrics.Listen), "metrics.listen", "is reachable from other machines, and needs no key"},
	} {
		if w.holds {
			p.Add(w.key, w.warning)
		}
	}
	return p
}
