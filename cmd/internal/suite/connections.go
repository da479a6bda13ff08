package suite

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/embedded"
	"github.com/ironpost/ironpost/internal/backoff"
	"github.com/ironpost/ironpost/internal/edge"
	"github.com/ironpost/ironpost/internal/task"
)

// socketGroup may use the operators' socket, beside root and the daemon's user.
const socketGroup = "ironpost"

// busServer is the embedded server. That it is an interface keeps it out of the programs that
// only join a bus.
type busServer interface {
	Options(module string) bus.Options
	Watch(ctx context.Context) error
	Reload() error
	Shutdown(ctx context.Context) error
	Health() []string
	Warnings() []string
	ObserverReasons() []string
	Stats() embedded.Stats
	SetAside() []bus.SetAside
	Opened() error
	Peers() []netip.Addr
	Keys() embedded.Keys
	ClientsExpiring(before time.Time) []string
	ObserverAddr() string
}

// connections are the daemon's side of the bus: the server, if it is embedded, and a
// connection for each module and for the daemon itself.
type connections struct {
	server       busServer // nil on an external bus
	options      func(module string) bus.Options
	admin        *bus.Conn            // the daemon's own; nil where the program does not provision
	modules      map[string]*bus.Conn // of the modules that run
	stopServices []func()             // of the status services on the connections
	own          []bus.Durable        // of the modules of this process
	durables     []bus.Durable        // and of those elsewhere
	sinks        map[string]bool      // that are configured, by bus.SinkName
	limits       bus.Limits
	known        []bus.Position // how far durables were when the daemon ended; nil once they were made
	skipping     []bus.Durable  // were deleted and start with new records
	inFlight     bus.InFlight
	forwarder    atomic.Pointer[edge.Forwarder] // nil: no edge
	host         string
	keysDir      string                  // see Bus.KeysDir
	refusedKeys  atomic.Pointer[[]error] // why files there are not read as keys
}

// openBus starts or reaches the bus, makes its streams, if that is up to program, and connects
// every module that runs. Durables that the bus lost go on where they are known to have been. On an error nothing is left open.
func openBus(ctx context.Context, cfg Config, program Program, known []bus.Position, log logrus.FieldLogger) (*connections, error) {
	b := &connections{
		known: known, modules: map[string]*bus.Conn{}, sinks: sinks(cfg), host: cfg.General.Host, keysDir: cfg.Bus.KeysDir(),
		inFlight: bus.InFlight{Packets: cfg.Bus.PacketsInFlight, Alerts: cfg.Bus.AlertsInFlight, Actions: cfg.Bus.ActionsInFlight},
	}
	err := b.open(ctx, cfg, program, log)
	if err != nil {
		return nil, errors.Join(err, b.closeConns(context.WithoutCancel(ctx)), b.shutdown(context.WithoutCancel(ctx)))
	}
	return b, nil
}

func (b *connections) open(ctx context.Context, cfg Config, program Program, log logrus.FieldLogger) (err error) {
	if err := b.connect(ctx, cfg, program, log); err != nil {
		return err
	}
	enabled := map[string]bool{}
	for _, m := range program.table() {
		enabled[m.Name] = m.running(cfg)
	}
	enabled[bus.Forwarder] = cfg.Bus.Hub != ""
	connect := bus.Connect
	if program.provisions(cfg.Bus) {
		if err := b.provision(ctx, cfg, enabled); err != nil {
			return err
		}
	} else {
		connect = connectUntilDone
	}
	for name, on := range enabled {
		if !on {
			continue
		}
		if b.modules[name], err = connect(ctx, b.options(name)); err != nil {
			return err
		}
	}
	return nil
}

// provision connects the daemon itself and makes the streams and durables.
func (b *connections) provision(ctx context.Context, cfg Config, enabled map[string]bool) (err error) {
	if b.admin, err = bus.Connect(ctx, b.options(bus.Daemon)); err != nil {
		return err
	}
	b.own, b.limits = b.durablesOf(cfg.General.Host, enabled), bus.Limits{
		MaxStoreBytes: cfg.Bus.MaxStoreBytes, Retention: cfg.LogPipeline.Storage.Retention(), Replicas: cfg.Bus.Replicas,
	}
	if err := b.provisionDurables(ctx); err != nil {
		return err
	}
	b.skipping = b.deletedDurables(cfg.General.DataDir)
	return nil
}

// provisionDurables makes the streams, the durables of this process and of the modules that have a
// key to connect from elsewhere, and the entries of plug-ins.
func (b *connections) provisionDurables(ctx context.Context) error {
	keys, err := b.remoteKeys()
	if err != nil {
		return err
	}
	b.refusedKeys.Store(&keys.Refused)
	b.durables = slices.Clone(b.own)
	for _, m := range keys.Modules {
		for _, d := range b.durablesOf(m.Host, map[string]bool{m.Module: true}) {
			if !slices.ContainsFunc(b.durables, func(have bus.Durable) bool { return have.Name == d.Name }) {
				d.Module = bus.Daemon // its reasons are no module's of this process
				b.durables = append(b.durables, d)
			}
		}
	}
	for i := range b.durables {
		d := &b.durables[i]
		if at := slices.IndexFunc(b.known, func(p bus.Position) bool { return p.Stream == d.Stream && p.Name == d.Name }); at >= 0 {
			d.Known = &b.known[at]
		}
	}
	err = b.admin.Provision(ctx, b.limits, b.durables)
	for i := range b.durables {
		b.durables[i].Known = nil // it is soon further
	}
	b.known = nil
	if err != nil || b.server == nil && len(keys.Modules)+len(keys.Plugins) == 0 {
		return err
	}
	return b.admin.SetTrust(ctx, keys.Plugins)
}

// remoteKeys returns the keys with which others join. Those of an external bus are in our folder, too, if "ironpost bus" made them.
func (b *connections) remoteKeys() (embedded.Keys, error) {
	if b.server != nil {
		return b.server.Keys(), nil
	}
	return embedded.ReadKeys(b.keysDir, b.host, true)
}

// RefusedKeys returns why the daemon of this configuration would not take files of its folder as keys; none where it reads no keys.
// The error is that the folder cannot be read.
func (c Config) RefusedKeys() ([]error, error) {
	if c.Bus.Mode == BusEmbedded && c.Bus.Listen == "" {
		return nil, nil
	}
	keys, err := embedded.ReadKeys(c.Bus.KeysDir(), c.General.Host, c.Bus.Mode == BusExternal)
	return keys.Refused, err
}

// HasPlugins reports whether the bus of this configuration takes alerts of plug-ins, whose rules are not known.
func (c Config) HasPlugins() bool {
	if c.Bus.Mode == BusEmbedded && c.Bus.Listen == "" {
		return false
	}
	keys, err := embedded.ReadKeys(c.Bus.KeysDir(), c.General.Host, c.Bus.Mode == BusExternal)
	return err != nil || len(keys.Plugins) > 0 || c.Bus.Mode == BusExternal
}

// durablesOf returns the durables of modules on host, with those of their configured sinks.
func (b *connections) durablesOf(host string, modules map[string]bool) []bus.Durable {
	enabled := maps.Clone(modules)
	maps.Copy(enabled, b.sinks)
	return bus.Durables(host, enabled, b.inFlight)
}

// The waits between attempts to reach the bus of a daemon that may start later.
const (
	firstDial = 500 * time.Millisecond
	dialLimit = 10 * time.Second
)

// connectUntilDone is bus.Connect, tried until it succeeds or ctx ends: the daemon may start later
// than the program that joins it, and a key may be added to it later.
func connectUntilDone(ctx context.Context, o bus.Options) (*bus.Conn, error) {
	for attempt := 0; ; attempt++ {
		conn, err := bus.Connect(ctx, o)
		if err == nil || ctx.Err() != nil {
			return conn, err
		}
		o.Log.WithError(err).Warn("bus not reached, trying again")
		task.Pause(ctx, backoff.Delay(attempt, firstDial, dialLimit))
	}
}

// deletedDurables returns the durables that skip what was stored since they were deleted.
// One whose module has no folder in dataDir was not deleted: the module starts for the
// first time, and is meant to start with new records.
func (b *connections) deletedDurables(dataDir string) []bus.Durable {
	return slices.DeleteFunc(slices.Clone(b.own), func(d bus.Durable) bool {
		_, err := os.Stat(filepath.Join(dataDir, d.Module))
		return err != nil || b.admin.Skipped(d.Name) == 0
	})
}

// connect starts the embedded server, or prepares the connections to the external one.
func (b *connections) connect(ctx context.Context, cfg Config, program Program, log logrus.FieldLogger) (err error) {
	if cfg.Bus.Mode == BusEmbedded {
		b.server, err = program.start(ctx, embedded.Config{
			StoreDir: cfg.Bus.StoreDir, MaxStoreBytes: cfg.Bus.MaxStoreBytes, Host: cfg.General.Host,
			Known:    b.known,
			Observer: cfg.Bus.Observer, ObserverListen: cfg.Bus.ObserverListen, ObserverPublished: cfg.Bus.ObserverPublished,
			ObserverEvidence: cfg.Bus.ObserverEvidence,
			Socket:           cfg.Bus.Socket, SocketGroup: socketGroup,
			Listen: cfg.Bus.Listen, TLSCA: cfg.Bus.TLSCA, TLSCert: cfg.Bus.TLSCert, TLSKey: cfg.Bus.TLSKey,
		}, log.WithField("module", busName))
		if err == nil {
			b.options = b.server.Options
		}
		return err
	}
	secure, err := cfg.Bus.ClientTLS()
	if err != nil {
		return err
	}
	b.options = func(module string) bus.Options {
		return bus.Options{
			Module: module, Host: cfg.General.Host, URL: cfg.Bus.URL, CredentialsFile: cfg.Bus.Credentials(module),
			TLS: secure, Log: log.WithField("module", module),
		}
	}
	return nil
}

// Credentials returns the file with the key of module.
func (c Bus) Credentials(module string) string {
	if info, err := os.Stat(c.CredentialsFile); err == nil && info.IsDir() {
		return filepath.Join(c.CredentialsFile, module+bus.SeedSuffix)
	}
	return c.CredentialsFile
}

// ClientTLS returns the TLS configuration for an external bus, nil if no file is named.
// The error names the key whose file cannot be used.
func (c Bus) ClientTLS() (*tls.Config, error) {
	if c.TLSCA == "" && c.TLSCert == "" {
		return nil, nil
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS13}
	if c.TLSCA != "" {
		pem, err := os.ReadFile(c.TLSCA)
		if err != nil {
			return nil, fmt.Errorf("bus.tls_ca: %w", err)
		}
		secure.RootCAs = x509.NewCertPool()
		if !secure.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("bus.tls_ca: %s holds no certificate in PEM", c.TLSCA)
		}
	}
	if c.TLSCert != "" {
		if _, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey); err != nil {
			return nil, fmt.Errorf("bus.tls_cert: %w", err)
		}
		secure.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { // of each connection: it may have been renewed
			pair, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
			return &pair, err
		}
	}
	return secure, nil
}

// closeConns stops the services and drains the connections of the modules, then the daemon's own.
func (b *connections) closeConns(ctx context.Context) error {
	for _, stop := range b.stopServices {
		stop()
	}
	var errs []error
	for _, conn := range b.modules {
		if conn != nil {
			errs = append(errs, conn.Close(ctx))
		}
	}
	if b.admin != nil {
		errs = append(errs, b.admin.Close(ctx))
	}
	return errors.Join(errs...)
}

// peers returns the other machines that are connected to our server, and the hub.
func (b *connections) peers() []netip.Addr {
	if b.server == nil {
		return nil
	}
	peers := b.server.Peers()
	if f := b.forwarder.Load(); f != nil {
		peers = append(peers, f.Peers()...)
	}
	return peers
}

// edges returns the hosts that have a key of an edge, none on an external bus.
func (b *connections) edges() []string {
	if b.server == nil {
		return nil
	}
	var hosts []string
	for _, m := range b.server.Keys().Modules {
		if m.Module == bus.Edge {
			hosts = append(hosts, m.Host)
		}
	}
	return hosts
}

func (b *connections) shutdown(ctx context.Context) error {
	if b.server == nil {
		return nil
	}
	return b.server.Shutdown(ctx)
}
