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

// Errors that callers can test for.
var (
	ErrUnreachable     = errors.New("bus or module not reachable")
	ErrNotFound        = errors.New("not found")
	ErrConflict        = errors.New("changed meanwhile")
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

// Options says how to connect and with which key. Exactly one of InProcess and URL
// is set. Module and Host determine the inbox prefix and the connection's name. Seed is
// an nkey seed, CredentialsFile the path of one or of a credentials file.
type Options struct {
	Module          string
	Host            string
	Seed            []byte
	InProcess       InProcess
	URL             string
	CredentialsFile string
	TLS             *tls.Config
	Log             logrus.FieldLogger

	dialer   nats.CustomDialer // the unix socket
	operator string            // who the socket says this is
}

// Conn is a connection to the bus. It reconnects for ever; all its methods may be
// called concurrently.
type Conn struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	module string
	host   string // of the daemon on an operator's connection

	operator string // the token of ActSubject; empty of a daemon of an older version, and of others than operators
	log      logrus.FieldLogger
	closed   chan struct{}
	tasks    *task.Group

	violations violations
	lostPulls  atomic.Uint64 // pull requests of consumers
	link       atomic.Pointer[link]
	peer       atomic.Pointer[netip.Addr] // last server it was connected to

	mu         sync.Mutex
	closedFor  error                     // why closeFor closed the connection
	publishers map[*Publisher]struct{}   // open ones
	skipped    map[string]uint64         // by durable, see Skipped
	services   map[string]*moduleService // by module and host
}

const (
	connectTimeout = 5 * time.Second
	callTimeout    = 5 * time.Second
	pingInterval   = 2 * time.Second // over a network
)

// Connect returns when the server has accepted the key. It fails if the server cannot be
// reached within 5 s or ctx ends before.
func Connect(ctx context.Context, o Options) (*Conn, error) {
	c := &Conn{
		module: o.Module, host: o.Host, operator: o.operator, log: o.Log, closed: make(chan struct{}),
		tasks: task.New(context.WithoutCancel(ctx)), publishers: map[*Publisher]struct{}{}, skipped: map[string]uint64{}, services: map[string]*moduleService{},
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
		nats.SyncQueueLen(maxServices), // no request has more answers; the client allocates room for all of them each time
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
	} else {
		// A link that was cut is noticed, and the connection made anew, within three intervals: left to
		// TCP, whose retries come ever later, it would be down for long after the link is back.
		opts = append(opts, nats.PingInterval(pingInterval), nats.MaxPingsOutstanding(2))
	}
	if o.dialer != nil {
		opts = append(opts, nats.SetCustomDialer(o.dialer), nats.SkipHostLookup()) // the host in the URL is no host's name
	}
	if o.TLS != nil {
		opts = append(opts, nats.Secure(o.TLS))
	}
	if o.dialer == nil && o.Module == Operator { // over the network a key is its own token
		public, err := o.publicKey()
		if err != nil {
			return nil, err
		}
		c.operator = public
	}
	return withKey(opts, o)
}

// publicKey returns the public half of the nkey of o, "" of other credentials.
func (o Options) publicKey() (string, error) {
	seed := o.Seed
	if len(seed) == 0 && o.CredentialsFile != "" {
		content, err := os.ReadFile(o.CredentialsFile)
		if err != nil {
			return "", fmt.Errorf("credentials of %s: %w", o.Module, err)
		}
		seed = content
	}
	key, err := nkeys.ParseDecoratedNKey(seed)
	if err != nil {
		return "", nil //nolint:nilerr // withKey says what is wrong with it
	}
	return key.PublicKey()
}

// withKey adds the key of o.
func withKey(opts []nats.Option, o Options) ([]nats.Option, error) {
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
	if bytes.Contains(content, []byte(tokenMark)) { // it holds a seed, too, so look for the token first
		return append(opts, nats.UserCredentials(o.CredentialsFile)), nil
	}
	nkey, err := nats.NkeyOptionFromSeed(o.CredentialsFile)
	if err != nil {
		return nil, fmt.Errorf("credentials of %s: %s holds neither an nkey seed nor credentials: %w", o.Module, o.CredentialsFile, err)
	}
	return append(opts, nkey), nil
}

// tokenMark is in every credentials file, which holds a signed token and the seed of its user.
const tokenMark = "BEGIN NATS USER JWT" //nolint:gosec // the mark, not a token

func timeoutOf(ctx context.Context, most time.Duration) time.Duration {
	if at, ok := ctx.Deadline(); ok {
		return max(time.Millisecond, min(most, time.Until(at)))
	}
	return most
}

// Close drains subscriptions, flushes what was published and waits until the
// connection is closed. If ctx ends before, it closes at once and returns ctx's error.
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

// Connected reports whether the connection to the server is up.
func (c *Conn) Connected() bool { return c.nc.IsConnected() }

// Closed returns a channel that is closed when the connection is closed for good, by Close
// or because the daemon was restarted.
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
	c.log.WithField("module", c.module).Info("bus connection restored")
	c.link.Swap(newLink()).cancel()
}

// link is the time from one connect to the next: its context ends when the connection was
// replaced. Requests made before are not answered any more.
type link struct {
	ctx    context.Context
	cancel context.CancelFunc
}

func newLink() *link {
	ctx, cancel := context.WithCancel(context.Background())
	return &link{ctx: ctx, cancel: cancel}
}

// callContext returns a context for one request: it ends with ctx, after callTimeout, or
// when the connection was replaced.
func (c *Conn) callContext(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	stop := context.AfterFunc(c.link.Load().ctx, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// callError maps the end of a context of callContext to ErrUnreachable, unless ctx, which it
// was derived from, has ended as well.
func callError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
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
	c.closedFor = reason
	c.mu.Unlock()
	c.nc.Close()
}

// closeReason returns why the connection is closed.
func (c *Conn) closeReason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closedFor != nil {
		return c.closedFor
	}
	return nats.ErrConnectionClosed
}
