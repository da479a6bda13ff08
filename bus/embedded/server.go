package embedded

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/task"
)

// readyTimeout bounds one start of the server, as does the caller's context. A store of
// millions of messages is read within seconds.
const readyTimeout = 30 * time.Second

// Server is a running bus: the NATS server and the listeners in front of it. All
// methods may be called from any goroutine.
type Server struct {
	config Config
	log    logrus.FieldLogger

	keys     keyring
	observer *observerKeys // nil without observers
	dialer   inProcessDialer
	remote   atomic.Pointer[remoteKeys] // read last
	tls      atomic.Pointer[tls.Config] // of the port for other machines

	running sync.Mutex // held while the server is started, restarted, reloaded or stopped
	stopped bool

	stopOnce sync.Once     // the first Shutdown sets the next two
	stopping *task.Group   // stops the server
	halted   chan struct{} // closed when it has

	// Set by Start alone.
	gateway   *gateway // nil: no observers
	observers *quota   // nil: no observers

	listening sync.Mutex        // guards the next two
	proxies   map[string]*proxy // by name
	closed    bool              // no more are opened

	setAside    []bus.SetAside // before the server started
	interrupted bool           // the start before did not end

	health healthState
}

// Start runs the bus and returns when modules can connect. Close it with
// Shutdown. It fails if the store, the socket or Config.Listen cannot be opened; an
// observers' port that is taken is a reason of Health.
func Start(ctx context.Context, config Config, log logrus.FieldLogger) (*Server, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	config = config.withDefaults()
	s := &Server{config: config, log: log, proxies: map[string]*proxy{}}
	s.remote.Store(&remoteKeys{})
	if err := s.makeKeys(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(config.StoreDir, 0o700); err != nil {
		return nil, fmt.Errorf("bus store: %w", err)
	}
	if err := s.readCertificates(); err != nil {
		return nil, err
	}
	if err := s.checkStore(); err != nil {
		return nil, fmt.Errorf("bus store: %w", err)
	}
	if err := s.startServer(ctx); err != nil {
		return nil, err
	}
	if err := s.openListeners(); err != nil { //nolint:contextcheck // all it does is local, and bounded
		return nil, errors.Join(err, s.Shutdown(ctx))
	}
	return s, nil
}

func (s *Server) makeKeys() (err error) {
	if s.keys, err = newKeyring(localRoles()); err != nil || !s.config.Observer {
		return err
	}
	ring, err := newKeyring([]string{"observer", "gatewayApp", "gatewayObserver"})
	s.observer = &observerKeys{observer: ring["observer"], gatewayApp: ring["gatewayApp"], gatewayObserver: ring["gatewayObserver"]}
	return err
}

// localRoles returns the roles that get a key at each start.
func localRoles() []string { return append(bus.ModuleNames(), bus.Daemon, bus.Operator, bus.Forwarder) }

// startServer starts a server on the store and makes it the current one. s.running is
// held, or s is not in use yet.
func (s *Server) startServer(ctx context.Context) error {
	opts, err := s.options()
	if err != nil {
		return fmt.Errorf("bus options: %w", err)
	}
	ns, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("make bus server: %w", err)
	}
	log := newServerLog(s.log)
	ns.SetLoggerV2(log, false, false, false)
	ns.Start()
	if err := awaitReady(ctx, ns, log); err != nil {
		shutDown(ns)
		return fmt.Errorf("start bus server: %w", err)
	}
	s.dialer.current.Store(ns)
	return nil
}

// awaitReady waits until ns accepts connections and uses its store.
func awaitReady(ctx context.Context, ns *server.Server, log *serverLog) error {
	if err := log.failure(); err != nil {
		return err
	}
	if !ns.ReadyForConnections(remainingTime(ctx, readyTimeout)) {
		return errors.New("not ready in time")
	}
	if !ns.JetStreamEnabled() {
		return errors.New("it could not use its store; its log says why")
	}
	return nil
}

// remainingTime returns the time until ctx's deadline, at most d.
func remainingTime(ctx context.Context, d time.Duration) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(d, time.Until(deadline))
	}
	return d
}

// shutDown stops ns and waits until it has stopped.
func shutDown(ns *server.Server) {
	ns.Shutdown()
	ns.WaitForShutdown()
}

// options returns the options of a server with this start's keys and the current remote
// keys.
func (s *Server) options() (*server.Options, error) {
	users := make([]accountUser, 0, len(s.keys))
	for _, name := range localRoles() {
		p := bus.Permissions(name, s.config.Host)
		if name == bus.Operator {
			p.OperatorActs("*") // the socket's listener checks whose
		}
		users = append(users, moduleUser(s.keys[name].public, p, inProcess))
	}
	if s.config.Listen != "" {
		remote, err := readRemoteKeys(s.config.KeysDir, s.config.Host, false)
		if err != nil {
			return nil, err
		}
		users = append(users, remote.users...)
		s.remote.Store(remote)
	}
	accounts := newAccounts(users)
	if s.observer != nil {
		accounts.addObservers(*s.observer)
	}
	config, err := accounts.config()
	if err != nil {
		return nil, err
	}
	return serverOptions(s.config, config)
}

// Options returns the options with which module of this process connects: its own key, and
// an in-memory connection that survives a restart of the server. Those of an unknown module
// have no key, and the server refuses them.
func (s *Server) Options(module string) bus.Options {
	return bus.Options{
		Module:    module,
		Host:      s.config.Host,
		Seed:      []byte(s.keys[module].seed),
		InProcess: &s.dialer,
		Log:       s.log,
	}
}

// Reload reads the remote keys and the certificates again. Connections of a removed key are
// closed, others go on. Of the two it changes the one that is without an error. Without
// Config.Listen it changes nothing.
func (s *Server) Reload() error {
	s.running.Lock()
	defer s.running.Unlock()
	ns := s.dialer.current.Load()
	if ns == nil {
		return errNotRunning
	}
	return errors.Join(s.readCertificates(), s.reloadKeys(ns))
}

func (s *Server) reloadKeys(ns *server.Server) error {
	opts, err := s.options()
	if err != nil {
		return err
	}
	if err := ns.ReloadOptions(opts); err != nil {
		return fmt.Errorf("reload bus server: %w", err)
	}
	return nil
}

// Restart stops the server and starts it again on the same store, with the same keys.
// In-memory connections reconnect; listeners stay open.
func (s *Server) Restart(ctx context.Context) error {
	s.running.Lock()
	defer s.running.Unlock()
	if s.stopped {
		return errors.New("the bus is shut down")
	}
	if ns := s.dialer.current.Swap(nil); ns != nil {
		shutDown(ns)
	}
	s.health.mu.Lock()
	s.health.restarts++
	s.health.mu.Unlock()
	return s.startServer(ctx)
}
