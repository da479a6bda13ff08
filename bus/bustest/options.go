package bustest

import (
	"cmp"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/embedded"
)

// Option changes what New starts.
type Option func(*setup)

type setup struct {
	config   embedded.Config
	limits   bus.Limits
	inFlight bus.InFlight
	modules  map[string]bool
	log      logrus.FieldLogger
}

func defaults() setup {
	s := setup{
		config: embedded.Config{Host: defaultHost, Observer: true, ObserverListen: "127.0.0.1:0"},
		limits: bus.Limits{MaxStoreBytes: defaultStore},
		log:    silent(),
	}
	WithModules(bus.ModuleNames()...)(&s)
	return s
}

// WithHost names the host; the default is "testhost".
func WithHost(host string) Option {
	return func(s *setup) { s.config.Host = host }
}

// WithLimits bounds the streams; the default is 256 MiB for all of them. The
// stream of alerts takes three eighths of it.
func WithLimits(limits bus.Limits) Option {
	return func(s *setup) {
		s.limits = limits
		s.limits.MaxStoreBytes = cmp.Or(limits.MaxStoreBytes, defaultStore)
	}
}

// WithInFlight bounds what durables deliver before it is acknowledged.
func WithInFlight(inFlight bus.InFlight) Option {
	return func(s *setup) { s.inFlight = inFlight }
}

// WithModules makes durables for these modules and sinks (bus.SinkName) only; the default is
// for all modules and no sink.
func WithModules(names ...string) Option {
	return func(s *setup) {
		s.modules = make(map[string]bool, len(names))
		for _, name := range names {
			s.modules[name] = true
		}
	}
}

// WithConfig changes the server's configuration in a way that has no option of
// its own.
func WithConfig(change func(*embedded.Config)) Option {
	return func(s *setup) { change(&s.config) }
}

// WithLog sends the server's and the connections' logs to log; the default
// throws them away.
func WithLog(log logrus.FieldLogger) Option {
	return func(s *setup) { s.log = log }
}

// quiet keeps what the server refuses out of the test's output; the connection
// tells it in LastError.
func quiet() nats.Option {
	return nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})
}

func keyOf(t testing.TB, seed []byte) nats.Option {
	t.Helper()
	pair, err := nkeys.FromSeed(seed)
	require.NoError(t, err)
	public, err := pair.PublicKey()
	require.NoError(t, err)
	return nats.Nkey(public, pair.Sign)
}
