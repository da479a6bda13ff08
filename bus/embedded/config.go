package embedded

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/ironpost/ironpost/bus"
)

// Config configures the store of the bus, its host name and its listeners.
type Config struct {
	// StoreDir holds the streams. It is created with mode 0700 if it is missing.
	StoreDir string
	// MaxStoreBytes bounds all streams together. It does not depend on the current free
	// space, because the server would refuse existing streams on a fuller disk.
	MaxStoreBytes int64
	// Host is this machine's name on the bus, one subject token.
	Host string

	// Observer opens ObserverListen to observers: a loopback address or, with ObserverPublished, any
	// address, of a container whose port its host publishes on loopback.
	Observer          bool
	ObserverListen    string
	ObserverPublished bool
	// ObserverEvidence lets observers see records whole. Else they see a copy without evidence, reasons and errors.
	ObserverEvidence bool

	// Socket is the operators' unix socket; empty means none. SocketGroup is the name or
	// number of the group that may use it beside root (default "ironpost"); it need not
	// exist.
	Socket      string
	SocketGroup string

	// Listen is the address for other machines; empty means none. Clients need a
	// certificate signed by TLSCA and a key of KeysDir.
	Listen  string
	TLSCA   string
	TLSCert string
	TLSKey  string
	// KeysDir holds a file for each remote key, see bus.ReadKeys. Empty means "keys" beside StoreDir.
	KeysDir string

	// Known is what is remembered of durables, apart from the store.
	Known []bus.Position

	// CheckInterval is how often Watch checks the store; 0 means a second.
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
		return errors.New("bus: store folder missing")
	}
	if c.MaxStoreBytes <= 0 {
		return errors.New("bus: maximum size of the store must be positive")
	}
	if bus.HostToken(c.Host) != c.Host {
		return fmt.Errorf("bus: host %q must be lower case letters, digits and - only", c.Host)
	}
	if !c.Observer {
		return nil
	}
	_, err := c.addressOfObservers()
	return err
}
