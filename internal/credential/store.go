package credential

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/atomicfile"
)

// The files of a store; those of a bundle, and of the public halves, are in package bus.
const (
	CA         = bus.BundleCA
	ServerCert = "server.pem"
	ServerKey  = "server.key"
	caKey      = "ca.key"
)

const (
	folderMode = 0o700
	fileMode   = 0o600
)

// ErrExists is returned where something would be overwritten.
var ErrExists = errors.New("exists already")

// Store is the authority of one bus and the public halves of its keys. It belongs to a daemon's
// machine. One process at a time may change it.
type Store struct {
	// PKI is the folder of the authority and of the daemon's certificate.
	PKI string
	// Keys is the folder of the public halves, which the daemon reads.
	Keys string
}

// Init makes the authority and the daemon's certificate for names: the host names and addresses by
// which others reach it. It returns ErrExists if there is an authority.
func (s Store) Init(names []string, now time.Time) error {
	for _, dir := range []string{s.PKI, s.Keys} {
		if err := makeFolder(dir); err != nil {
			return err
		}
	}
	ca, err := newAuthority(now)
	if err != nil {
		return err
	}
	signer, err := parseAuthority(ca)
	if err != nil {
		return err
	}
	server, err := signer.server(names, now)
	if err != nil {
		return err
	}
	return writeNew(s.PKI, file{caKey, ca.key}, file{CA, ca.cert}, file{ServerKey, server.key}, file{ServerCert, server.cert})
}

// Renew makes a new certificate of the daemon, for names, or for those of the present one if there
// are none.
func (s Store) Renew(names []string, now time.Time) error {
	signer, err := s.authority()
	if err != nil {
		return err
	}
	if len(names) == 0 {
		if names, err = s.ServerNames(); err != nil {
			return err
		}
	}
	server, err := signer.server(names, now)
	if err != nil {
		return err
	}
	return write(s.PKI, file{ServerKey, server.key}, file{ServerCert, server.cert})
}

// ServerNames returns the names of the daemon's certificate.
func (s Store) ServerNames() ([]string, error) {
	text, err := os.ReadFile(filepath.Join(s.PKI, ServerCert))
	if err != nil {
		return nil, err
	}
	cert, err := parseCertificate(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(s.PKI, ServerCert), err)
	}
	return certificateNames(cert), nil
}

// AddHost makes the folder bundle with what modules, the operator, or the daemon (bus.Edge; bus.Daemon where the bus is external), of
// host need. Without replace it returns ErrExists if one of them has a key; with it that key ends. The daemon reads the keys on SIGHUP.
func (s Store) AddHost(host string, modules []string, bundle string, replace bool, now time.Time) error {
	keys := make([]bus.Key, 0, len(modules))
	for _, m := range modules {
		if !bus.IsModule(m) && m != bus.Operator && m != bus.Edge && m != bus.Daemon {
			return fmt.Errorf("%q is no module, want one of %s", m, strings.Join(append(bus.ModuleNames(), bus.Operator), ", "))
		}
		keys = append(keys, bus.Key{Module: m, Host: host})
	}
	return s.add(host, keys, slices.Contains(modules, bus.Edge), bundle, replace, now)
}

// AddPlugin is AddHost for a plug-in.
func (s Store) AddPlugin(p bus.Plugin, bundle string, replace bool, now time.Time) error {
	if !bus.IsPluginName(p.Name) {
		return fmt.Errorf("%q is no name for a plug-in, want lower case letters, digits and -, and not that of a module", p.Name)
	}
	return s.add(p.Host, []bus.Key{{Module: p.Name, Host: p.Host, Publish: p.Publish, Trust: p.Trust}}, false, bundle, replace, now)
}

// owners returns the keys of the folder by the names of their files, without what is in them.
func (s Store) owners() (map[string]bus.Key, error) {
	entries, err := os.ReadDir(s.Keys)
	if err != nil {
		return nil, err
	}
	keys := map[string]bus.Key{}
	for _, entry := range entries {
		if module, host, ok := bus.SplitKeyName(entry.Name()); ok {
			keys[entry.Name()] = bus.Key{Module: module, Host: host}
		}
	}
	return keys, nil
}

// KeysOf returns which modules and plug-ins of host have a key, and bus.Operator, bus.Edge and bus.Daemon, sorted.
func (s Store) KeysOf(host string) (modules []string, err error) {
	owners, err := s.owners()
	for _, k := range owners {
		if k.Host == host {
			modules = append(modules, k.Module)
		}
	}
	slices.Sort(modules)
	return modules, err
}

// TrustOf returns the trust of a plug-in that has a key; an error that is fs.ErrNotExist if it has none.
func (s Store) TrustOf(plugin, host string) (event.Trust, error) {
	k, err := bus.ReadKey(s.Keys, bus.Key{Module: plugin, Host: host}.FileName())
	return k.Trust, err
}

// check refuses keys of host that the daemon would not take with those that it has. A host has either a daemon that forwards its records
// or modules, or plug-ins, that publish here themselves: of what both published, it could not be told how much of the forwarded is here.
func (s Store) check(host string, keys []bus.Key, edge, replace bool) error {
	if host == "" || bus.HostToken(host) != host {
		return fmt.Errorf("host %q must be lower case letters, digits and - only", host)
	}
	owners, err := s.owners()
	if err != nil {
		return err
	}
	for _, k := range owners {
		if k.Host == host && k.Module != bus.Operator && (k.Module == bus.Edge) != edge {
			return fmt.Errorf("%s has a key of %s: a host is an edge or has modules on this bus, not both; ironpost bus revoke %s first", host, k.Module, host)
		}
	}
	for _, k := range keys {
		if _, has := owners[k.FileName()]; has && !replace {
			return fmt.Errorf("the key of %s: %w", k, ErrExists)
		}
		owners[k.FileName()] = k
	}
	if len(owners) > bus.MaxKeys {
		return fmt.Errorf("%s would hold more than %d keys, which is the most that a daemon reads: end those of hosts that are gone with ironpost bus revoke", s.Keys, bus.MaxKeys)
	}
	return nil
}

// add makes a bundle of the keys of host, whose public halves it makes.
func (s Store) add(host string, keys []bus.Key, edge bool, bundle string, replace bool, now time.Time) error {
	signer, err := s.authority()
	if err != nil {
		return err
	}
	if err := s.check(host, keys, edge, replace); err != nil {
		return err
	}
	client, err := signer.client(host, now)
	if err != nil {
		return err
	}
	ca, err := os.ReadFile(filepath.Join(s.PKI, CA))
	if err != nil {
		return err
	}
	secret, public := []file{{CA, ca}, {bus.BundleCert, client.cert}, {bus.BundleKey, client.key}}, []file(nil)
	for _, k := range keys {
		var seed []byte
		if seed, k.Public, err = newKey(); err != nil {
			return err
		}
		secret = append(secret, file{k.Module + bus.SeedSuffix, seed})
		public = append(public, file{k.FileName(), []byte(k.Text())})
	}
	if err := os.Mkdir(bundle, folderMode); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s: %w", bundle, ErrExists)
		}
		return err
	}
	if err := writeNew(bundle, secret...); err != nil {
		return err
	}
	return write(s.Keys, public...)
}

// Revoke removes the keys of host, or of one module or plug-in of it if module is not empty, and
// returns their names. The daemon closes their connections on SIGHUP.
func (s Store) Revoke(host, module string) ([]string, error) {
	owners, err := s.owners()
	if err != nil {
		return nil, err
	}
	var removed []string
	for name, k := range owners {
		if k.Host != host || module != "" && k.Module != module {
			continue
		}
		if err := os.Remove(filepath.Join(s.Keys, name)); err != nil {
			return removed, err
		}
		removed = append(removed, k.Module)
	}
	if len(removed) == 0 {
		return nil, fmt.Errorf("%s has no such key of %s", s.Keys, host)
	}
	slices.Sort(removed)
	return removed, nil
}

func (s Store) authority() (*authority, error) {
	cert, err := os.ReadFile(filepath.Join(s.PKI, CA))
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(filepath.Join(s.PKI, caKey))
	if err != nil {
		return nil, err
	}
	a, err := parseAuthority(pair{cert: cert, key: key})
	if err != nil {
		return nil, fmt.Errorf("authority in %s: %w", s.PKI, err)
	}
	return a, nil
}

// newKey makes a user nkey.
func newKey() (seed []byte, public string, err error) {
	k, err := nkeys.CreateUser()
	if err != nil {
		return nil, "", err
	}
	if seed, err = k.Seed(); err != nil {
		return nil, "", err
	}
	public, err = k.PublicKey()
	return append(seed, '\n'), public, err
}

// file is a name and its content.
type file struct {
	name    string
	content []byte
}

// writeNew writes files that do not exist yet to dir. On ErrExists it has changed nothing.
func writeNew(dir string, files ...file) error {
	for _, f := range files {
		if _, err := os.Lstat(filepath.Join(dir, f.name)); err == nil {
			return fmt.Errorf("%s: %w", filepath.Join(dir, f.name), ErrExists)
		}
	}
	return write(dir, files...)
}

// write writes files to dir, in the place of any. Those that root writes belong to the owner of dir, so that a daemon
// of another user can read them.
func write(dir string, files ...file) (err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	for _, f := range files {
		if err := atomicfile.Write(root, f.name, f.content, fileMode); err != nil {
			return err
		}
		if f.name == caKey { // only who adds hosts needs it
			continue
		}
		if err := giveToOwner(root, f.name); err != nil {
			return err
		}
	}
	return nil
}

// makeFolder makes dir, for the owner of the folder it is in.
func makeFolder(dir string) (err error) {
	if err := os.MkdirAll(dir, folderMode); err != nil {
		return err
	}
	parent, err := os.OpenRoot(filepath.Dir(dir))
	if err != nil {
		return err
	}
	return errors.Join(giveToOwner(parent, filepath.Base(dir)), parent.Close())
}
