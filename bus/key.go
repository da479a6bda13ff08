package bus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nkeys"

	"github.com/ironpost/ironpost/event"
)

const (
	// MaxKeys is how many keys of a folder are read.
	MaxKeys = 1024
	// maxKeyFile is more than a public key and the lines of a plug-in, in bytes.
	maxKeyFile = 256

	keySuffix     = ".nk"
	publishAlerts = "publish alerts"
	trustPrefix   = "trust "
)

// Key is the public half of the key with which a module, a daemon, the operator or a plug-in of a host joins a bus. It is a file of
// the daemon's folder of keys.
type Key struct {
	Module string // of the table, or Operator, Edge, Daemon, or the name of a plug-in
	Host   string
	Public string // of a user nkey

	// Of a plug-in alone.
	Publish []StreamName
	Trust   event.Trust
}

// String returns the key's owner.
func (k Key) String() string { return k.Module + " on " + k.Host }

// Plugin returns the plug-in that has the key; false if it is no plug-in's.
func (k Key) Plugin() (Plugin, bool) {
	return Plugin{Name: k.Module, Host: k.Host, Publish: k.Publish, Trust: k.Trust}, IsPluginName(k.Module)
}

// FileName returns the name of the key's file: log-pipeline.web-1.nk.
func (k Key) FileName() string { return k.Module + "." + k.Host + keySuffix }

// Text returns the content of the key's file: the public half, and for a plug-in what it may publish and its trust.
func (k Key) Text() string {
	lines := []string{k.Public}
	if _, ok := k.Plugin(); ok {
		lines = append(lines, publishAlerts, trustPrefix+string(k.Trust))
	}
	return strings.Join(lines, "\n") + "\n"
}

// SplitKeyName returns whose key the file called name is; false if it is none's. The module is not checked.
func SplitKeyName(name string) (module, host string, ok bool) {
	stem, ok := strings.CutSuffix(name, keySuffix)
	module, host, found := strings.Cut(stem, ".")
	return module, host, ok && found && module != "" && host != "" && HostToken(host) == host
}

// ParseKey reads the file called name with the content text.
func ParseKey(name, text string) (Key, error) {
	module, host, ok := SplitKeyName(name)
	k := Key{Module: module, Host: host}
	ours := module == Operator || module == Edge || module == Daemon || IsModule(module)
	if !ok || !ours && !IsPluginName(module) {
		return k, errors.New(`want a name such as "log-pipeline.web-1.nk", of a module, a plug-in, "operator" or "edge" and a host`)
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if k.Public = strings.TrimSpace(lines[0]); !nkeys.IsValidPublicUserKey(k.Public) {
		return k, errors.New("not the public half of a user nkey (it begins with U)")
	}
	if ours && len(lines) > 1 {
		return k, fmt.Errorf("%s is no plug-in: what it may publish is not for its key to say", module)
	}
	if ours {
		return k, nil
	}
	k.Trust = event.TrustUnproven
	for i, line := range lines[1:] {
		switch line = strings.TrimSpace(line); line {
		case publishAlerts:
			k.Publish = []StreamName{Alerts}
		case trustPrefix + string(event.TrustUnproven), trustPrefix + string(event.TrustPeer):
			k.Trust = event.Trust(strings.TrimPrefix(line, trustPrefix))
		default:
			return k, fmt.Errorf("line %d: want %q, \"trust unproven\" or \"trust peer\"", i+2, publishAlerts)
		}
	}
	if len(k.Publish) == 0 {
		return k, fmt.Errorf("%s is no module of this version; the key of a plug-in says %q", module, publishAlerts)
	}
	return k, nil
}

// ReadKeys reads the folder dir, in the order of the names; a missing one holds none. Of refused, each is why a file is not read as a
// key: that file permits nothing, and keeps no other from being read. Names that begin with a dot are files that were being written.
func ReadKeys(dir string) (keys []Key, refused []error, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("bus keys: %w", err)
	}
	first := map[string]string{} // file by public half
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") {
			continue
		}
		if len(keys)+len(refused) == MaxKeys {
			return keys, append(refused, fmt.Errorf("%s and what follows: the folder holds more than %d files", filepath.Join(dir, name), MaxKeys)), nil
		}
		k, err := ReadKey(dir, name)
		switch other := first[k.Public]; {
		case err != nil:
			refused = append(refused, err)
		case other != "":
			refused = append(refused, fmt.Errorf("%s: %s has the same key", filepath.Join(dir, name), other))
		default:
			first[k.Public] = name
			keys = append(keys, k)
		}
	}
	return keys, refused, nil
}

// ReadKey reads the file called name in the folder dir. It follows no link.
func ReadKey(dir, name string) (Key, error) {
	path := filepath.Join(dir, name)
	info, err := os.Lstat(path)
	if err != nil {
		return Key{}, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxKeyFile {
		return Key{}, fmt.Errorf("%s: want a file of at most %d bytes", path, maxKeyFile)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return Key{}, err
	}
	k, err := ParseKey(name, string(text))
	if err != nil {
		return k, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}
