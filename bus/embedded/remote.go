package embedded

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/ironpost/ironpost/bus"
)

const (
	remoteKeySuffix = ".nk"
	maxRemoteKeys   = 1024
	tlsTimeout      = 2.0 // seconds
)

// listenRemote makes opts listen for other machines: TLS 1.3 with a client certificate, and
// a key. A client without a key is refused here, because the observers' key is valid for
// in-memory connections only.
func listenRemote(opts *server.Options, c Config) error {
	host, port, err := splitListen(c.Listen)
	if err != nil {
		return err
	}
	config, err := remoteTLS(c)
	if err != nil {
		return err
	}
	opts.DontListen = false
	opts.Host, opts.Port = host, port
	opts.TLSConfig, opts.TLS, opts.TLSVerify = config, true, true
	opts.TLSTimeout = tlsTimeout
	return nil
}

func splitListen(address string) (string, int, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("bus address %q: want host:port", address)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("bus address %q: %q is no port", address, text)
	}
	if port == 0 {
		return host, server.RANDOM_PORT, nil
	}
	return host, int(port), nil
}

func remoteTLS(c Config) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("bus certificate: %w", err)
	}
	pem, err := os.ReadFile(c.TLSCA)
	if err != nil {
		return nil, fmt.Errorf("bus authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("bus authority: %s holds no certificate", c.TLSCA)
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{pair},
		ClientCAs:    pool,
		ClientAuth:   tls.RequireAndVerifyClientCert,
	}, nil
}

// RemoteModule is a module that has a key to connect from another process or machine.
type RemoteModule struct{ Module, Host string }

// RemoteModules returns the modules of the keys that were read last: at the start, or by Reload.
// It may be called concurrently.
func (s *Server) RemoteModules() []RemoteModule {
	if read := s.remote.Load(); read != nil {
		return *read
	}
	return nil
}

// remoteUsers reads dir: one file "<module>.<host>.nk" per key, holding the public half.
// A missing folder holds none. Any other file is an error: its author expects that it
// permits a connection.
func remoteUsers(dir string) (users []accountUser, modules []RemoteModule, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("bus keys: %w", err)
	}
	if len(entries) > maxRemoteKeys {
		return nil, nil, fmt.Errorf("bus keys: %s holds more than %d files", dir, maxRemoteKeys)
	}
	for _, entry := range entries {
		user, module, err := remoteUser(dir, entry.Name())
		if err != nil {
			return nil, nil, fmt.Errorf("bus keys: %s: %w", filepath.Join(dir, entry.Name()), err)
		}
		users = append(users, user)
		if module.Module != bus.Operator {
			modules = append(modules, module)
		}
	}
	return users, modules, nil
}

func remoteUser(dir, name string) (accountUser, RemoteModule, error) {
	module, host, ok := strings.Cut(strings.TrimSuffix(name, remoteKeySuffix), ".")
	if !ok || !strings.HasSuffix(name, remoteKeySuffix) || bus.HostToken(host) != host || !isRemoteRole(module) {
		return accountUser{}, RemoteModule{}, errors.New(`want a name such as "log-pipeline.web-1.nk", of a module or "operator" and a host`)
	}
	public, err := readKeyFile(filepath.Join(dir, name))
	if err != nil {
		return accountUser{}, RemoteModule{}, err
	}
	if !nkeys.IsValidPublicUserKey(public) {
		return accountUser{}, RemoteModule{}, errors.New("not the public half of a user nkey (it begins with U)")
	}
	return moduleUser(public, bus.Permissions(module, host), overTCP), RemoteModule{Module: module, Host: host}, nil
}

// isRemoteRole reports whether a remote key may have this role. No other machine may be
// this one's daemon.
func isRemoteRole(name string) bool { return name == bus.Operator || bus.IsModule(name) }

// maxKeyFile is more than a public key and a newline.
const maxKeyFile = 128

func readKeyFile(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Size() > maxKeyFile {
		return "", fmt.Errorf("want a file of at most %d bytes", maxKeyFile)
	}
	b, err := os.ReadFile(path)
	return strings.TrimSpace(string(b)), err
}
