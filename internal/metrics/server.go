package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/event"
)

const (
	maxScrapes      = 4 // more get 503
	scrapeTimeout   = 10 * time.Second
	headerTimeout   = 5 * time.Second
	requestTimeout  = 10 * time.Second
	writeTimeout    = 20 * time.Second
	idleTimeout     = time.Minute
	maxHeader       = 16 << 10 // bytes
	shutdownTimeout = 2 * time.Second
	maxHealthAge    = time.Minute // checking takes seconds at most
)

// Options configure a Server. Health and Ready are called for each probe; a probe is as quick as they are.
type Options struct {
	Listen   string   // address:port
	Hosts    []string // names that requests may be addressed to, beside localhost and IP addresses
	Gatherer prometheus.Gatherer
	Health   func(ctx context.Context) event.DaemonHealth
	Ready    func() bool
	Log      logrus.FieldLogger
}

// Server answers GET on /metrics, /healthz and /readyz, and nothing else. /healthz says that the process is
// alive: it answers 200 with the health, whatever that is, unless the health has not been checked for
// maxHealthAge, which a restart may mend. /readyz says that it works: 503 before the start is complete, while it
// is unhealthy, and while it stops.
type Server struct {
	listener *connections
	http     *http.Server
	log      logrus.FieldLogger
}

// Listen opens the address. The caller must call Serve, which closes it.
func Listen(ctx context.Context, opts Options) (*Server, error) {
	config := net.ListenConfig{KeepAlive: -1} // no connection outlives its timeouts, and four calls fewer when thousands come
	listener, err := config.Listen(ctx, "tcp", opts.Listen)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	limited := limit(listener)
	s := &Server{listener: limited, log: opts.Log}
	s.http = &http.Server{
		Handler:           handler(opts),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ConnState:         limited.stateChanged,
		ErrorLog:          stdlog.New(io.Discard, "", 0), // it would log what clients send, which they choose
	}
	return s, nil
}

// Addr returns the address of the listener.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Reason says that connections were closed lately because too many were open, how many and whose; "" if none was.
func (s *Server) Reason() string {
	return s.listener.closed.Reason("connections to metrics and probes were closed", time.Now())
}

// Serve answers until ctx ends, then waits up to two seconds for requests under way.
func (s *Server) Serve(ctx context.Context) error {
	drained := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(drained)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if s.http.Shutdown(ctx) != nil {
			_ = s.http.Close() // requests still running had shutdownTimeout
		}
	})
	err := s.http.Serve(s.listener)
	if !stop() {
		<-drained // http.Server.Serve returns when its shutdown begins
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

func handler(opts Options) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(opts.Gatherer, promhttp.HandlerOpts{
		ErrorLog: errorLog{opts.Log}, ErrorHandling: promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes, Timeout: scrapeTimeout,
	}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		h := opts.Health(r.Context())
		writeJSON(w, h.Time.IsZero() || time.Since(h.Time) < maxHealthAge, h) // zero: the start goes on
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ready := opts.Ready() && opts.Health(r.Context()).Status != event.Unhealthy
		writeJSON(w, ready, map[string]bool{"ready": ready})
	})
	return knownHostOnly(opts.Hosts, getOnly(mux))
}

// knownHostOnly refuses requests addressed to a name that is not ours: a web page may make a
// browser of this network send them, with a name that resolves to our address (DNS rebinding).
func knownHostOnly(hosts []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(r.Host); err == nil {
			host = name
		}
		_, err := netip.ParseAddr(strings.Trim(host, "[]"))
		ours := func(name string) bool { return strings.EqualFold(name, host) }
		if err != nil && !ours("") && !ours("localhost") && !slices.ContainsFunc(hosts, ours) {
			w.Header().Set("Connection", "close")
			http.Error(w, "this name is not in metrics.hosts", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// getOnly refuses everything with another method, or a body.
func getOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet || r.ContentLength != 0 {
			w.Header().Set("Allow", http.MethodGet)
			w.Header().Set("Connection", "close")
			http.Error(w, "only GET, without a body", http.StatusMethodNotAllowed)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// writeJSON writes v with status 200 if ok, else 503, and 500 if v cannot be encoded. A
// failed write only means that the client has gone.
func writeJSON(w http.ResponseWriter, ok bool, v any) {
	w.Header().Set("Cache-Control", "no-store")
	data, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = w.Write(append(event.PrintableJSON(data), '\n'))
}

// errorLog takes the collection errors of promhttp.
type errorLog struct{ log logrus.FieldLogger }

// Println implements promhttp.Logger.
func (l errorLog) Println(v ...any) {
	l.log.WithField("reason", fmt.Sprint(v...)).Warn("metrics not collected completely")
}
