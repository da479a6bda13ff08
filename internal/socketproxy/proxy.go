package socketproxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"net/http/httputil"
	"path"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/net/netutil"
	"golang.org/x/time/rate"

	"github.com/ironpost/ironpost/internal/docker"
)

// MetricsPath is the path of the counts.
const MetricsPath = "/metrics"

const (
	maxConnections  = 2048 // more wait to be accepted; the log pipeline has one for each container
	maxHeader       = 16 << 10
	maxBody         = 64 << 10
	headerTimeout   = 10 * time.Second
	bodyTimeout     = 10 * time.Second
	idleTimeout     = time.Minute
	shutdownTimeout = 2 * time.Second

	logFirst    = 20 // refusals that are logged one by one
	logInterval = 3 * time.Second
)

// Options configure a Proxy.
type Options struct {
	Docker string        // path of Docker's socket
	Rules  []docker.Rule // what is forwarded, see docker.Allow
	Log    logrus.FieldLogger
	// Observe, if not nil, is called for each request, concurrently.
	Observe func(r *http.Request, refused bool)
}

// Proxy is an http.Handler that forwards the allowed requests. Responses that do not end, such as
// those of followed logs and events, are passed on as they come.
type Proxy struct {
	options   Options
	rules     map[string]*regexp.Regexp // by method
	next      *httputil.ReverseProxy
	forwarded atomic.Uint64
	refused   atomic.Uint64
	sometimes rate.Sometimes
}

// New returns a proxy. It does not connect yet.
func New(o Options) (*Proxy, error) {
	rules, err := compile(o.Rules)
	if err != nil {
		return nil, err
	}
	p := &Proxy{options: o, rules: rules, sometimes: rate.Sometimes{First: logFirst, Interval: logInterval}}
	p.next = &httputil.ReverseProxy{
		Rewrite:       rewrite,
		FlushInterval: -1,
		Transport: &http.Transport{ // without a timeout: the export of an image begins after minutes, and clients have budgets
			MaxIdleConns: 16, IdleConnTimeout: idleTimeout, DisableCompression: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", o.Docker)
			},
		},
		ErrorHandler: p.unavailable,
		ErrorLog:     stdlog.New(io.Discard, "", 0), // it would log what clients and containers send
	}
	return p, nil
}

// rewrite forwards no header or trailer but the type of the body: Docker's calls of our list need none.
func rewrite(r *httputil.ProxyRequest) {
	contentType := r.In.Header.Get("Content-Type")
	r.Out.Header = http.Header{"User-Agent": {"ironpost-socket-proxy"}}
	if contentType != "" {
		r.Out.Header.Set("Content-Type", contentType)
	}
	r.Out.Trailer, r.Out.TransferEncoding = nil, nil
	r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", "docker", "docker"
}

// Counts returns how many requests were forwarded and refused.
func (p *Proxy) Counts() (forwarded, refused uint64) { return p.forwarded.Load(), p.refused.Load() }

// ServeHTTP implements http.Handler. What is refused gets 403. GET /metrics is answered here: the
// counts, in the text format of Prometheus.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && r.RequestURI == MetricsPath && r.ContentLength == 0 {
		p.writeMetrics(w)
		return
	}
	err := p.check(r)
	if err == nil {
		err = p.filterBody(w, r)
	}
	if p.options.Observe != nil {
		p.options.Observe(r, err != nil)
	}
	if err != nil {
		p.refuse(w, r, err)
		return
	}
	p.forwarded.Add(1)
	p.next.ServeHTTP(w, r)
}

func (p *Proxy) writeMetrics(w http.ResponseWriter) {
	forwarded, refused := p.Counts()
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	_, _ = fmt.Fprintf(w, "# TYPE %[1]sforwarded_total counter\n%[1]sforwarded_total %[2]d\n# TYPE %[1]srefused_total counter\n%[1]srefused_total %[3]d\n",
		"ironpost_socket_proxy_", forwarded, refused) // else the client has gone
}

// filterBody replaces the body of r by what is forwarded of it.
func (p *Proxy) filterBody(w http.ResponseWriter, r *http.Request) error {
	filter := bodies[path.Base(r.URL.Path)]
	if filter == nil || r.Method != http.MethodPost {
		if r.ContentLength != 0 {
			return errBody
		}
		return nil
	}
	deadline := http.NewResponseController(w)
	_ = deadline.SetReadDeadline(time.Now().Add(bodyTimeout)) // every connection of http.Server has one
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	_ = deadline.SetReadDeadline(time.Time{})
	if err != nil {
		return fmt.Errorf("%w: %w", errBody, err)
	}
	kept, err := filter(text)
	if err != nil {
		return err
	}
	text, err = json.Marshal(kept)
	if err != nil {
		return err
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	r.Header.Set("Content-Type", "application/json")
	return nil
}

func (p *Proxy) refuse(w http.ResponseWriter, r *http.Request, reason error) {
	total := p.refused.Add(1)
	p.sometimes.Do(func() {
		p.options.Log.WithFields(logrus.Fields{
			"method": r.Method, "path": r.URL.Path, "query": r.URL.RawQuery, "client": r.RemoteAddr, "reason": reason.Error(), "refused_total": total,
		}).Warn("request refused")
	})
	w.Header().Set("Connection", "close")
	answer(w, http.StatusForbidden, "refused by the socket proxy: "+reason.Error())
}

func (p *Proxy) unavailable(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // the client has gone
	}
	p.options.Log.WithError(err).Warn("Docker does not answer")
	answer(w, http.StatusBadGateway, "the socket proxy gets no answer from Docker")
}

// answer writes an error as Docker does.
func answer(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": message}) // else the client has gone
}

// Serve answers on l, which it closes, until ctx ends; then requests have two seconds to end.
func (p *Proxy) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           p,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          stdlog.New(io.Discard, "", 0), // it would log what clients send
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if server.Shutdown(limited) != nil {
			_ = server.Close()
		}
	})
	err := server.Serve(netutil.LimitListener(l, maxConnections))
	if !stop() {
		<-ended
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("socket proxy: %w", err)
}
