package testenv

import (
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/socketproxy"
)

// DockerProxy is a socket proxy before a dockerd that remembers what it was asked.
type DockerProxy struct {
	Socket string // path

	mu     sync.Mutex
	seen   map[string]bool
	denied []string
}

// Proxy starts a proxy before dockerd for one test.
func (d *Docker) Proxy(t testing.TB, rules []docker.Rule) *DockerProxy {
	t.Helper()
	p := &DockerProxy{Socket: filepath.Join(d.Dir, "p"+strconv.FormatInt(time.Now().UnixNano(), 36)), seen: map[string]bool{}}
	log := logrus.New()
	log.SetOutput(t.Output())
	proxy, err := socketproxy.New(socketproxy.Options{Docker: d.Socket, Rules: rules, Log: log, Observe: p.observe})
	require.NoError(t, err)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", p.Socket)
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(proxy)
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

func (p *DockerProxy) observe(r *http.Request, refused bool) {
	call := r.Method + " " + idPart.ReplaceAllString(versionPart.ReplaceAllString(r.URL.Path, ""), "/$1/{id}")
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen[call] = true
	if refused {
		p.denied = append(p.denied, call)
	}
}

// Calls returns every request so far, such as "POST /containers/{id}/pause", and the
// refused ones in order.
func (p *DockerProxy) Calls() (seen map[string]bool, denied []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.seen), slices.Clone(p.denied)
}
