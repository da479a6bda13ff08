package testenv

import (
	"context"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// DockerProxy is a proxy before a dockerd that allows what its rules match, as
// wollomatic/socket-proxy does.
type DockerProxy struct {
	Socket string // path

	rules map[string]*regexp.Regexp // by method, for the whole path
	next  *httputil.ReverseProxy

	mu     sync.Mutex
	seen   map[string]bool
	denied []string
}

// Proxy starts a proxy before dockerd for one test. rules has, by method, a regular
// expression for the whole path.
func (d *Docker) Proxy(t testing.TB, rules map[string]string) *DockerProxy {
	t.Helper()
	p := &DockerProxy{
		Socket: filepath.Join(d.Dir, "p"+strconv.FormatInt(time.Now().UnixNano(), 36)),
		rules:  map[string]*regexp.Regexp{}, seen: map[string]bool{},
	}
	for method, rule := range rules {
		p.rules[method] = regexp.MustCompile("^" + rule + "$")
	}
	p.next = &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "docker" },
		FlushInterval: -1,
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", d.Socket)
		}},
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", p.Socket)
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(p)
	require.NoError(t, server.Listener.Close())
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return p
}

var (
	versionPart = regexp.MustCompile(`^/v1\.[0-9]+`)
	idPart      = regexp.MustCompile(`/(containers|networks|images)/(sha256:)?[0-9a-z]{12,64}`)
)

// ServeHTTP implements http.Handler.
func (p *DockerProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rule := p.rules[r.Method]
	allowed := rule != nil && rule.MatchString(r.URL.Path)
	call := r.Method + " " + idPart.ReplaceAllString(versionPart.ReplaceAllString(r.URL.Path, ""), "/$1/{id}")
	p.mu.Lock()
	p.seen[call] = true
	if !allowed {
		p.denied = append(p.denied, call)
	}
	p.mu.Unlock()
	if !allowed {
		http.Error(w, "Forbidden", http.StatusForbidden)
		return
	}
	p.next.ServeHTTP(w, r)
}

// Calls returns every request so far, such as "POST /containers/{id}/pause", and the
// refused ones in order.
func (p *DockerProxy) Calls() (seen map[string]bool, denied []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.seen), slices.Clone(p.denied)
}
