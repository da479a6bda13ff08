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
	// InFlight bounds what is published and not yet stored; the zero value is the service's own bound.
	InFlight bus.InFlight
	// Peers returns the machines whose modules are connected to this one's bus, which no block may cut off; nil: none.
	Peers func() []netip.Addr
}

// Service is the packet engine. It implements daemon.Module and daemon.Starter.
type Service struct {
	cfg   Config
	deps  Deps
	log   logrus.FieldLogger
	since time.Time
	box   *outbox.Outbox

	started   chan struct{} // closed once the interfaces have been looked at
	startOnce sync.Once

	mu       sync.Mutex // guards what follows
	pub      *bus.Publisher
	kernel   *kernel           // nil while there is none
	views    map[string]*view  // by interface, of all there were
	troubles map[string]string // what is wrong now, by topic
	findings map[string]uint64 // announced, by name
}

// New returns a Service and starts nothing.
func New(cfg Config, deps Deps) (*Service, error) {
	if deps.Bus == nil || deps.Log == nil || deps.Host == "" {
		return nil, errors.New("packet engine: bus, log and host must be given")
	}
	return &Service{
		cfg: cfg, deps: deps, log: deps.Log.WithField("service", Name), since: time.Now(), box: outbox.New(deps.Host),
		started: make(chan struct{}), views: map[string]*view{}, troubles: map[string]string{}, findings: map[string]uint64{},
	}, nil
}

// Started is closed once every interface that is there has been tried, or Run has
// returned. It may be called concurrently.
func (s *Service) Started() <-chan struct{} { return s.started }

func (s *Service) begun() { s.startOnce.Do(func() { close(s.started) }) }

// Run watches until ctx ends; what was counted until then is still published, within a
// bound. What is attached and pinned stays in force. What the machine lacks makes the
// module degraded and is tried again; an error is for what a restart may mend. It is called once.
func (s *Service) Run(ctx context.Context) error {
	defer s.begun()
	stop, err := s.export()
	if err != nil {
		return err
	}
	defer stop()
	window := min(maxInFlight, cmp.Or(s.deps.InFlight.Packets, maxInFlight))
	pub, err := s.deps.Bus.Publisher(bus.PublisherConfig{Stream: bus.Packets, Module: Name, Host: s.deps.Host, InFlight: window})
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.pub = pub
	s.mu.Unlock()
	return s.work(ctx, newSender(pub, s.box, s.log))
}

// work watches, and has the sender stop last, within lastWords.
func (s *Service) work(ctx context.Context, out *sender) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sendCtx, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	sending := task.New(sendCtx)
	sending.Go("packet sender", func(ctx context.Context) error {
		defer cancel() // nobody watches for a bus that is gone
		return out.run(ctx)
	})
	watching := task.New(ctx)
	watching.Go("packet engine", s.watch)
	err := watching.Wait()
	s.box.Close()
	close(out.stopped)
	late := time.AfterFunc(lastWords, cut)
	defer late.Stop()
	return errors.Join(err, sending.Wait())
}

// note sets what is wrong about topic, "" for nothing, and logs it when it is new.
func (s *Service) note(topic, what string) {
	s.mu.Lock()
	before := s.troubles[topic]
	if what == "" {
		delete(s.troubles, topic)
	} else {
		s.troubles[topic] = what
	}
	s.mu.Unlock()
	switch what {
	case before:
	case "":
		s.log.WithField("topic", topic).Info("packet engine has recovered")
	default:
		s.log.WithField("topic", topic).WithField("reason", what).Warn("packet engine is hindered")
	}
}
