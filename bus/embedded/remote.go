package embedded

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/ironpost/ironpost/bus"
)

// RemoteModule is a module, or bus.Edge, that has a key to connect from another process or machine.
type RemoteModule struct{ Module, Host string }

// Keys are those of a folder. Refused is why other files of it are not read as keys; those files permit nothing.
type Keys struct {
	Modules []RemoteModule
	Plugins []bus.Plugin
	Refused []error
}

// ReadKeys returns the keys of dir, see Config.KeysDir: of an external bus, where a daemon, too, connects with a key, or if external is
// false, of the bus of this daemon on host. A missing folder holds none.
func ReadKeys(dir, host string, external bool) (Keys, error) {
	keys, err := readRemoteKeys(dir, host, external)
	if err != nil {
		return Keys{}, err
	}
	return keys.Keys, nil
}

// Keys returns the keys that were read last: at the start, or by Reload. It may be called concurrently.
func (s *Server) Keys() Keys { return s.remote.Load().Keys }

// remoteKeys are the keys of a folder, and their users.
type remoteKeys struct {
	Keys

	names  []string // of users, for people
	users  []accountUser
	rights map[string]rights // by public key
}

func readRemoteKeys(dir, host string, external bool) (*remoteKeys, error) {
	keys := &remoteKeys{rights: map[string]rights{}}
	files, refused, err := bus.ReadKeys(dir)
	if err != nil {
		return nil, err
	}
	keys.Refused = refused
	connection := inProcess // through a listener of this process, which checks the key, too
	if external {
		connection = overTCP
	}
	for _, k := range files {
		if err := refusedHere(k, host); err != nil && !external {
			keys.Refused = append(keys.Refused, fmt.Errorf("%s: %w", filepath.Join(dir, k.FileName()), err))
			continue
		}
		keys.add(k, connection)
	}
	return keys, nil
}

// refusedHere returns why k opens no bus of the daemon on host.
func refusedHere(k bus.Key, host string) error {
	switch {
	case k.Module == bus.Daemon:
		return errors.New("this daemon is the bus, and no other machine may be its daemon")
	case k.Module == bus.Edge && k.Host == host:
		return fmt.Errorf("%s is this daemon's own host, and an edge of that name could speak for it: ironpost bus revoke %[1]s, or change general.host", host)
	}
	return nil
}

// add adds the user of k.
func (k *remoteKeys) add(key bus.Key, connection string) {
	p := bus.Permissions(key.Module, key.Host)
	plugin, ok := key.Plugin()
	switch {
	case ok:
		p = plugin.Permission()
		k.Plugins = append(k.Plugins, plugin)
	case key.Module == bus.Operator:
		p.OperatorActs(key.Public)
	default:
		k.Modules = append(k.Modules, RemoteModule{Module: key.Module, Host: key.Host})
	}
	k.names = append(k.names, key.String())
	k.users = append(k.users, moduleUser(key.Public, p, connection))
	k.rights[key.Public] = rightsOf(p.Inbox+".", key.Public, p.Publish)
}
