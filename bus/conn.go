package bus

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/internal/task"
)

// The errors a caller may want to tell apart.
var (
	ErrUnreachable     = errors.New("nobody answers on the bus")
	ErrNotFound        = errors.New("not found")
	ErrConflict        = errors.New("changed by someone else")
	ErrInvalid         = errors.New("not a valid record")
	ErrDaemonRestarted = errors.New("the daemon was restarted, connect again")
	ErrRefused         = errors.New("the daemon refused the connection")
)

// InProcess hands out connections to a server in this process. An implementation
// must outlive the server: after a restart in place it returns connections to the
// new one.
type InProcess interface {
	InProcessConn() (net.Conn, error)
}

// Options says how to reach the bus and as whom. Exactly one of InProcess and URL
// is set. Module and Host choose the inbox prefix and name the connection. Seed is
// an nkey seed, CredentialsFile a path of one or of a credentials file.
type Options struct {
	Module          string
	Host            string
	Seed            []byte
	InProcess       InProcess
	URL             string
	CredentialsFile string
	TLS             *tls.Config
	Log             logrus.FieldLogger

	dialer nats.CustomDialer // the unix socket
}

// Conn is a connection to the bus. It reconnects for ever; all its methods may be
// called concurrently.
type Conn struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	module string
	host   string
	log    logrus.FieldLogger
	closed chan struct{}
	tasks  *task.Group

	violations violations
	lostPulls  atomic.Uint64 // pull requests of consumers
	link       atomic.Pointer[link]
	peer       atomic.Pointer[netip.Addr] // of the server it was connected to last

	mu         sync.Mutex
	lost       error                     // why the connection was given up
	publishers map[*Publisher]struct{}   // open ones
	services   map[string]*moduleService // by module and host
}

const (
	connectTimeout = 5 * time.Second
	callTimeout    = 5 * time.Second
)

// Connect connects and returns when the server has accepted the key. It fails when
// the server cannot be reached within 5 s or ctx ends.
func Connect(ctx context.Context, o Options) (*Conn, error) {
	c := &Conn{
		module: o.Module, host: o.Host, log: o.Log, closed: make(chan struct{}),
		tasks: task.New(context.WithoutCancel(ctx)), publishers: map[*Publisher]struct{}{}, services: map[string]*moduleService{},
	}
	if c.log == nil {
		c.log = silent()
	}
	c.link.Store(newLink())
	opts, err := c.options(ctx, o)
	if err != nil {
		return nil, err
	}
	c.nc, err = nats.Connect(o.URL, opts...)
	if err != nil {
		return nil, fmt.Errorf("connect %s to the bus: %w", o.Module, err)
	}
	c.js, err = jetstream.New(c.nc, jetstream.WithDefaultTimeout(callTimeout))
	if err != nil {
		c.nc.Close()
		return nil, fmt.Errorf("connect %s to the bus: %w", o.Module, err)
	}
	return c, nil
}

func (c *Conn) options(ctx context.Context, o Options) ([]nats.Option, error) {
	opts := []nats.Option{
		nats.Name(ServiceName(o.Module) + " " + o.Host),
		nats.CustomInboxPrefix(InboxPrefix(o.Module, o.Host)),
		nats.Timeout(timeoutOf(ctx, connectTimeout)),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(50 * time.Millisecond),
		nats.ReconnectJitter(50*time.Millisecond, 500*time.Millisecond),
		nats.IgnoreAuthErrorAbort(),
		nats.ErrorHandler(c.onError),
		nats.DisconnectErrHandler(c.onDisconnect),
		nats.ReconnectHandler(c.onReconnect),
		nats.ClosedHandler(func(*nats.Conn) {
			c.link.Load().cancel()
			close(c.closed)
		}),
	}
	if o.InProcess != nil {
		opts = append(opts, nats.InProcessServer(o.InProcess))
	}
	if o.dialer != nil {
		opts = append(opts, nats.SetCustomDialer(o.dialer))
	}
	if o.TLS != nil {
		opts = append(opts, nats.Secure(o.TLS))
	}
	return identify(opts, o)
}

// identify adds who connects.
func identify(opts []nats.Option, o Options) ([]nats.Option, error) {
	if len(o.Seed) > 0 {
		key, err := nkeys.FromSeed(o.Seed)
		if err != nil {
			return nil, fmt.Errorf("seed of %s: %w", o.Module, err)
		}
		public, err := key.PublicKey()
		if err != nil {
			return nil, fmt.Errorf("seed of %s: %w", o.Module, err)
		}
		return append(opts, nats.Nkey(public, key.Sign)), nil
	}
	if o.CredentialsFile == "" {
		return opts, nil
	}
	content, err := os.ReadFile(o.CredentialsFile)
	if err != nil {
		return nil, fmt.Errorf("credentials of %s: %w", o.Module, err)
	}
	if bytes.Contains(content, []byte(tokenMark)) { // it has a seed, too, which alone says nothing
		return append(opts, nats.UserCredentials(o.CredentialsFile)), nil
	}
	nkey, err := nats.NkeyOptionFromSeed(o.CredentialsFile)
	if err != nil {
		return nil, fmt.Errorf("credentials of %s: %s holds neither an nkey seed nor a credentials file: %w", o.Module, o.CredentialsFile, err)
	}
	return append(opts, nkey), nil
}

// tokenMark is in every credentials file: a signed token, and the seed of its user.
const tokenMark = "BEGIN NATS USER JWT" //nolint:gosec // the mark, not a token

func timeoutOf(ctx context.Context, most time.Duration) time.Duration {
	if at, ok := ctx.Deadline(); ok {
		return max(time.Millisecond, min(most, time.Until(at)))
	}
	return most
}

// Close drains subscriptions, flushes what was published and waits until the
// connection is closed. When ctx ends first, it closes at once and says so.
func (c *Conn) Close(ctx context.Context) error {
	if err := c.nc.Drain(); err != nil { // not connected, or closed already
		c.nc.Close()
	}
	var err error
	select {
	case <-c.closed:
	case <-ctx.Done():
		c.nc.Close()
		<-c.closed
		err = ctx.Err()
	}
	if err = errors.Join(err, c.tasks.Wait()); err != nil {
		return fmt.Errorf("close the bus connection of %s: %w", c.module, err)
	}
	return nil
}

// Connected reports whether the server is there now.
func (c *Conn) Connected() bool { return c.nc.IsConnected() }

// Closed is closed when the connection is, by Close or for good.
func (c *Conn) Closed() <-chan struct{} { return c.closed }

// Host returns the host this connection belongs to; on an operator's connection,
// the host of the daemon that answered.
func (c *Conn) Host() string { return c.host }

func (c *Conn) onError(_ *nats.Conn, sub *nats.Subscription, err error) {
	if errors.Is(err, nats.ErrPermissionViolation) {
		c.violations.add(err.Error(), time.Now())
	}
	log := c.log.WithError(err).WithField("module", c.module)
	if sub != nil {
		log = log.WithField("subject", sub.Subject)
	}
	log.Warn("bus error")
}

func (c *Conn) onDisconnect(_ *nats.Conn, err error) {
	if err != nil {
		c.log.WithError(err).WithField("module", c.module).Warn("bus connection lost")
	}
}

func (c *Conn) onReconnect(*nats.Conn) {
	c.log.WithField("module", c.module).Info("bus connection back")
	c.link.Swap(newLink()).cancel()
}

// link is one connection to one server, from connecting to reconnecting. What was
// asked through an ended one is not answered any more.
type link struct {
	ctx    context.Context
	cancel context.CancelFunc
}

func newLink() *link {
	ctx, cancel := context.WithCancel(context.Background())
	return &link{ctx: ctx, cancel: cancel}
}

// callContext returns a context that ends with ctx, with the time to wait for an
// answer, or when the connection was lost meanwhile.
func (c *Conn) callContext(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	stop := context.AfterFunc(c.link.Load().ctx, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// callError returns what the one who asks is told of a call, made with a context of
// answerable, that ended with err: neither is his giving up.
func callError(asker context.Context, err error) error {
	switch {
	case asker.Err() != nil:
		return err
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%w: the connection was lost before the answer came", ErrUnreachable)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: no answer within %s", ErrUnreachable, callTimeout)
	}
	return err
}

// closeFor closes the connection for good; its calls then return reason.
func (c *Conn) closeFor(reason error) {
	c.mu.Lock()
	c.lost = reason
	c.mu.Unlock()
	c.nc.Close()
}

// closeReason returns why the connection is closed.
func (c *Conn) closeReason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost != nil {
		return c.lost
	}
	return nats.ErrConnectionClosed
}
