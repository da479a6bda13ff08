package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nkeys"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
)

const (
	remoteKeySuffix = ".nk"
	maxRemoteKeys   = 1024
)

// RemoteModule is a module, or bus.Edge, that has a key to connect from another process or machine.
type RemoteModule struct{ Module, Host string }

// remoteKeys are the keys of a folder. With external they are for the servers of an external bus,
// where a daemon, too, connects with a key of the folder.
type remoteKeys struct {
	external bool

	names   []string // of users, for people
	users   []accountUser
	inboxes map[string]string // of reply subjects, with the final dot, by public key
	modules []RemoteModule
	plugins []bus.Plugin
}

// RemoteModules returns the modules of the keys that were read last: at the start, or by Reload.
// It may be called concurrently.
func (s *Server) RemoteModules() []RemoteModule { return s.remote.Load().modules }

// Plugins returns the plug-ins of the keys that were read last. It may be called concurrently.
func (s *Server) Plugins() []bus.Plugin { return s.remote.Load().plugins }

// ReadKeys returns the modules and plug-ins that have a key in dir for an external bus. See
// Config.KeysDir; a missing folder holds none.
func ReadKeys(dir string) ([]RemoteModule, []bus.Plugin, error) {
	keys, err := readRemoteKeys(dir, true)
	if err != nil {
		return nil, nil, err
	}
	return keys.modules, keys.plugins, nil
}

// readRemoteKeys reads dir: one file "<module>.<host>.nk" per key, see parseKey. A missing folder
// holds none. Any other file is an error: its author expects that it permits a connection.
func readRemoteKeys(dir string, external bool) (*remoteKeys, error) {
	keys := &remoteKeys{external: external, inboxes: map[string]string{}}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return keys, nil
	}
	if err != nil {
		return nil, fmt.Errorf("bus keys: %w", err)
	}
	if len(entries) > maxRemoteKeys {
		return nil, fmt.Errorf("bus keys: %s holds more than %d files", dir, maxRemoteKeys)
	}
	for _, entry := range entries {
		if err := keys.read(dir, entry.Name()); err != nil {
			return nil, fmt.Errorf("bus keys: %s: %w", filepath.Join(dir, entry.Name()), err)
		}
	}
	return keys, nil
}

func (k *remoteKeys) read(dir, name string) error {
	module, host, ok := strings.Cut(strings.TrimSuffix(name, remoteKeySuffix), ".")
	ours := module == bus.Operator || module == bus.Edge || bus.IsModule(module) || k.external && module == bus.Daemon // no other machine may be this one's daemon
	if !ok || !strings.HasSuffix(name, remoteKeySuffix) || host == "" || bus.HostToken(host) != host || !ours && !bus.IsPluginName(module) {
		return errors.New(`want a name such as "log-pipeline.web-1.nk", of a module, a plug-in, "operator" or "edge" and a host`)
	}
	text, err := readKeyFile(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	public, plugin, err := parseKey(text)
	if err != nil {
		return err
	}
	plugin.Name, plugin.Host = module, host
	k.names = append(k.names, module+" on "+host)
	switch {
	case ours && len(plugin.Publish) > 0:
		return fmt.Errorf("%s is no plug-in: what it may publish is not for its key to say", module)
	case !ours && len(plugin.Publish) == 0:
		return fmt.Errorf(`%s is no module of this version; the key of a plug-in says "publish alerts"`, module)
	case k.inboxes[public] != "":
		return errors.New("another file has the same key")
	case ours:
		k.add(public, bus.Permissions(module, host))
	default:
		k.add(public, plugin.Permission())
		k.plugins = append(k.plugins, plugin)
	}
	if module != bus.Operator && ours {
		k.modules = append(k.modules, RemoteModule{Module: module, Host: host})
	}
	return nil
}

// add adds a user. On an embedded bus it connects through a listener of this process, which checks the key, too.
func (k *remoteKeys) add(public string, p bus.Permission) {
	connection := inProcess
	if k.external {
		connection = overTCP
	}
	k.users = append(k.users, moduleUser(public, p, connection))
	k.inboxes[public] = p.Inbox + "."
}

// parseKey reads the file of a key: the public half of a user nkey, and for a plug-in the lines
// "publish alerts" and "trust unproven" or "trust peer".
func parseKey(text string) (public string, p bus.Plugin, err error) {
	p.Trust = event.TrustUnproven
	for n, line := range strings.Split(strings.TrimSpace(text), "\n") {
		switch line = strings.TrimSpace(line); {
		case n == 0 && nkeys.IsValidPublicUserKey(line):
			public = line
		case n == 0:
			return "", p, errors.New("not the public half of a user nkey (it begins with U)")
		case line == "publish alerts":
			p.Publish = []bus.StreamName{bus.Alerts}
		case line == "trust "+string(event.TrustUnproven), line == "trust "+string(event.TrustPeer):
			p.Trust = event.Trust(strings.TrimPrefix(line, "trust "))
		default:
			return "", p, fmt.Errorf("line %d: want \"publish alerts\", \"trust unproven\" or \"trust peer\"", n+1)
		}
	}
	return public, p, nil
}

// maxKeyFile is more than a public key and the lines of a plug-in.
const maxKeyFile = 256

func readKeyFile(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Size() > maxKeyFile {
		return "", fmt.Errorf("want a file of at most %d bytes", maxKeyFile)
	}
	b, err := os.ReadFile(path)
	return string(b), err
}
