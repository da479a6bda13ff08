package suite

import (
	"errors"
	"fmt"
	"os/user"
	"path/filepath"
	"strconv"

	"github.com/ironpost/ironpost/internal/ownership"
	"github.com/ironpost/ironpost/internal/setting"
)

// trustedPath is a file or folder that steers the daemon, and the key that names it.
type trustedPath struct {
	key, path  string
	tree       bool     // what is below it, too
	extensions []string // of the files below it that are read; none: all
}

// trustedPaths returns what the daemon trusts with this configuration. A path that is empty is not used.
func (c Config) trustedPaths() []trustedPath {
	paths := []trustedPath{
		{key: "general.data_dir", path: c.General.DataDir},
		{key: "bus.store_dir", path: c.Bus.StoreDir},
		{key: "bus.credentials_file", path: c.Bus.CredentialsFile, tree: true, extensions: []string{".seed"}},
		{key: "bus.tls_ca", path: c.Bus.TLSCA},
		{key: "bus.tls_cert", path: c.Bus.TLSCert},
		{key: "bus.tls_key", path: c.Bus.TLSKey},
		{key: "log_pipeline.storage.postgres_url_file", path: c.LogPipeline.Storage.PostgresURLFile},
		{key: "log_pipeline.storage.redis_url_file", path: c.LogPipeline.Storage.RedisURLFile},
	}
	if c.General.PIDFile != "" {
		paths = append(paths, trustedPath{key: "general.pid_file", path: filepath.Dir(c.General.PIDFile)})
	}
	if c.Bus.Hub != "" {
		paths = append(paths, trustedPath{key: "bus.hub_bundle", path: c.Bus.HubBundle, tree: true})
	}
	if c.Bus.Mode == BusEmbedded {
		paths = append(paths, trustedPath{key: "bus.store_dir", path: c.Bus.KeysDir(), tree: true})
	}
	return append(paths, c.trustedOfModules()...)
}

// trustedOfModules returns what the modules that are on trust.
func (c Config) trustedOfModules() (paths []trustedPath) {
	if c.LogPipeline.Enabled {
		paths = append(paths, trustedPath{key: "log_pipeline.rules_path", path: c.LogPipeline.RulesPath, tree: true, extensions: []string{".yml", ".yaml"}},
			trustedPath{key: "log_pipeline.formats_path", path: c.LogPipeline.FormatsPath, tree: true, extensions: []string{".toml"}})
	}
	if c.LogPipeline.Enabled && c.LogPipeline.SyslogTLS() {
		paths = append(paths,
			trustedPath{key: "log_pipeline.syslog_tls_cert", path: c.LogPipeline.SyslogTLSCert},
			trustedPath{key: "log_pipeline.syslog_tls_key", path: c.LogPipeline.SyslogTLSKey},
			trustedPath{key: "log_pipeline.syslog_tls_client_ca", path: c.LogPipeline.SyslogTLSClientCA})
	}
	if c.Container.Enabled {
		paths = append(paths,
			trustedPath{key: "container.policy_path", path: c.Container.PolicyPath, tree: true, extensions: []string{".toml"}},
			trustedPath{key: "container.webhook_url_file", path: c.Container.WebhookURLFile})
	}
	if c.EBPF.Enabled {
		for i, path := range c.EBPF.BlocklistFiles {
			paths = append(paths, trustedPath{key: fmt.Sprintf("ebpf.blocklist_files.%d", i), path: path})
		}
	}
	for i, path := range c.EBPF.Allow {
		if c.EBPF.Enabled && filepath.IsAbs(path) {
			paths = append(paths, trustedPath{key: fmt.Sprintf("ebpf.allow.%d", i), path: path})
		}
	}
	if c.SBOM.Enabled {
		paths = append(paths, trustedPath{key: "sbom.ignore_file", path: c.SBOM.IgnoreFile}, trustedPath{key: "sbom.vuln_db_path", path: c.SBOM.VulnDBPath})
		for i, path := range c.SBOM.VEXFiles {
			paths = append(paths, trustedPath{key: fmt.Sprintf("sbom.vex_files.%d", i), path: path})
		}
	}
	if c.Collector.Enabled {
		paths = append(paths, trustedPath{key: "collector.audit_path", path: c.Collector.AuditPath})
	}
	return paths
}

// DaemonUsers returns the users as whom the daemon may run: root, this one, and that of the packages' services, if there is one.
func DaemonUsers() ownership.Users {
	users := ownership.Self()
	if account, err := user.Lookup("ironpost"); err == nil {
		if uid, err := strconv.Atoi(account.Uid); err == nil {
			users = append(users, uid)
		}
	}
	return users
}

// changeable returns a problem for the file of the configuration, and for each path that steers the daemon, if others than s.Trusted can change
// it.
func (s Source) changeable(c Config) []setting.Problem {
	if s.trusted(c) == nil {
		return nil
	}
	var p setting.Problems
	paths := c.trustedPaths()
	if file, err := filepath.Abs(s.Path); s.Path != "" && err == nil {
		paths = append([]trustedPath{{key: "general.strict_modes", path: file}}, paths...)
	}
	reported := map[string]bool{} // what is above several of them is told once
	for _, t := range paths {
		if setting.Path(t.path) != "" {
			continue // empty, or Validate says what is wrong with it
		}
		err := t.check(s.Trusted)
		if refused, ok := errors.AsType[*ownership.Error](err); ok && reported[refused.Path] {
			continue
		} else if ok {
			reported[refused.Path] = true
		}
		if err != nil {
			p.Add(t.key, err.Error())
		}
	}
	return p
}

// trusted returns the users who alone may be able to change what steers the daemon with this configuration; nil: everyone.
func (s Source) trusted(c Config) ownership.Users {
	if !c.General.StrictModes {
		return nil
	}
	return s.Trusted
}

// check returns an error if others than users can change the path.
func (t trustedPath) check(users ownership.Users) error {
	if t.tree {
		return users.CheckTree(t.path, t.extensions...)
	}
	return users.Check(t.path)
}
