package ebpfengine

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/health"
	"github.com/ironpost/ironpost/internal/ownership"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/services/ebpfengine/outbox"
)

// Name is the module's name on the bus and in the table of modules.
const Name = bus.EBPFEngine

// Deps are what the service works with. Bus, Host and Log must be set.
type Deps struct {
	Bus     *bus.Conn
	Host    string // this machine on the bus, one subject token
	Log     logrus.FieldLogger
	Metrics prometheus.Registerer // nil: none
	// InFlight bounds the records that are published and not yet stored; 0 means the service's own bound.
	InFlight bus.InFlight
	// DataDir is the module's own folder, made if it is missing; it holds the contents of feeds. Empty: they are not kept.
	DataDir string
	// Peers returns the machines whose modules are connected to this one's bus, which no block may cut off; nil: none.
	Peers func() []netip.Addr
	// Trusted are the users who alone may be able to change blocklist files that are read again without a reload; nil: everyone.
	Trusted ownership.Users
}

// Service is the packet engine. It implements daemon.Module and daemon.Starter.
type Service struct {
	cfg        Config
	deps       Deps
	log        logrus.FieldLogger
	box        *outbox.Outbox
	health     *health.Reasons
	interfaces interfaceTable

	mu         sync.Mutex // guards what follows
	publisher  *bus.Publisher
	kernel     *kernel           // nil while it is not open
	detections map[string]uint64 // queued in box, by name
}

// New returns a Service and starts nothing.
func New(cfg Config, deps Deps) (*Service, error) {
	if deps.Bus == nil || deps.Log == nil || deps.Host == "" {
		return nil, errors.New("packet engine: bus, log and host must be given")
	}
	return &Service{
		cfg: cfg, deps: deps, log: deps.Log.WithField("service", Name), box: outbox.New(deps.Host), health: health.New(Name, deps.Host),
		interfaces: newInterfaceTable(cfg.Interfaces()), detections: map[string]uint64{},
	}, nil
}

// Started is closed once attaching to every interface has been tried. It may be called concurrently.
func (s *Service) Started() <-chan struct{} { return s.health.WhenStarted() }

// Run watches until ctx ends, and then publishes what was counted within stopTimeout. Pinned programs and lists stay in force.
// A missing requirement makes the module degraded and is tried again; an error is for what a restart may repair. It is called
// once.
func (s *Service) Run(ctx context.Context) error {
	stop, err := s.exportMetrics()
	if err != nil {
		return err
	}
	defer stop()
	inFlight := min(maxInFlight, cmp.Or(s.deps.InFlight.Packets, maxInFlight))
	pub, err := s.deps.Bus.Publisher(bus.PublisherConfig{Stream: bus.Packets, Module: Name, Host: s.deps.Host, InFlight: inFlight})
	if err != nil {
		return err
	}
	defer pub.Close()
	s.mu.Lock()
	s.publisher = pub
	s.mu.Unlock()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	publishCtx, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	out := newPublisher(pub, s.box, s.log)
	publishing := task.New(publishCtx)
	publishing.Go("packet publisher", func(ctx context.Context) error {
		defer cancel() // without a bus there is no use in watching
		return out.run(ctx)
	})
	watching := task.New(ctx)
	watching.Go("packet engine", s.watch)
	err = watching.Wait()
	s.box.Close()
	close(out.stopped)
	late := time.AfterFunc(stopTimeout, cut)
	defer late.Stop()
	return errors.Join(err, publishing.Wait())
}
