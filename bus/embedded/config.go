package embedded

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/ironpost/ironpost/bus"
)

// Config says where the bus stores, what it is called and who may reach it from
// outside this process.
type Config struct {
	// StoreDir holds the streams. It is made with mode 0700 if missing.
	StoreDir string
	// MaxStoreBytes bounds all streams together. It is never derived from the
	// free space of the moment: a fuller disk would then refuse old streams.
	MaxStoreBytes int64
	// Host is this machine's name on the bus, one subject token.
	Host string

	// Observer opens ObserverListen, a loopback address, to anyone.
	Observer       bool
	ObserverListen string

	// Socket is the operators' unix socket; empty means none. SocketGroup names
	// the group that may use it beside root, or is its number; it need not exist
	// and is "ironpost" if empty.
	Socket      string
	SocketGroup string

	// Listen is the address for other machines; empty means none. Clients must
	// show a certificate signed by TLSCA and a key of KeysDir.
	Listen  string
	TLSCA   string
	TLSCert string
	TLSKey  string
	// KeysDir holds one file "<module>.<host>.nk" per remote key, each with the
	// public half of a user nkey. Empty means "keys" beside StoreDir.
	KeysDir string

	// CheckEvery is how often Watch looks at the store; 0 means a second.
	CheckInterval time.Duration
}

const (
	defaultCheck = time.Second
	defaultGroup = "ironpost"
)

func (c Config) withDefaults() Config {
	if c.CheckInterval <= 0 {
		c.CheckInterval = defaultCheck
	}
	if c.SocketGroup == "" {
		c.SocketGroup = defaultGroup
	}
	if c.KeysDir == "" {
		c.KeysDir = filepath.Join(filepath.Dir(filepath.Clean(c.StoreDir)), "keys")
	}
	return c
}

func (c Config) validate() error {
	if c.StoreDir == "" {
		return errors.New("bus: no folder to store in")
	}
	if c.MaxStoreBytes <= 0 {
		return errors.New("bus: the most bytes to store must be positive")
	}
	if bus.HostToken(c.Host) != c.Host {
		return fmt.Errorf("bus: host %q must be lower case letters, digits and - only", c.Host)
	}
	if !c.Observer {
		return nil
	}
	_, err := loopback(c.ObserverListen)
	return err
}
