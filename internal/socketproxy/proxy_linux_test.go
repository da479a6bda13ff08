package socketproxy_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/socketproxy"
	"github.com/ironpost/ironpost/internal/testenv"
)

// proxied is a proxy before a private dockerd, reached as another machine would.
type proxied struct {
	*socketproxy.Proxy
	address string
	log     *testenv.Buffer
}

func start(t *testing.T, engine string, features ...docker.Feature) proxied {
	t.Helper()
	p := proxied{log: &testenv.Buffer{}}
	log := logrus.New()
	log.SetOutput(p.log)
	log.SetFormatter(&logrus.JSONFormatter{})
	var err error
	p.Proxy, err = socketproxy.New(socketproxy.Options{Docker: engine, Rules: docker.Allow(features...), Log: log})
	require.NoError(t, err)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p.address = listener.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- p.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-served)
	})
	return p
}

// send sends text as it is and returns the status.
func (p proxied) send(t *testing.T, text string) int {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", p.address)
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	_, err = io.WriteString(c, text)
	require.NoError(t, err)
	first := make([]byte, len("HTTP/1.1 403"))
	_, err = io.ReadFull(c, first)
	require.NoError(t, err)
	status, err := strconv.Atoi(string(first[len("HTTP/1.1 "):]))
	require.NoError(t, err)
	return status
}

func request(method, path, body string) string {
	text := method + " " + path + " HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n"
	if body != "" {
		text += "Content-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n"
	}
	return text + "\r\n" + body
}

// The requests that a controlled module might send, against a dockerd that would do them.
func TestRefusesWhatTheListDoesNotName(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	network := d.Network(t, "shop", "")
	id := d.Run(t, testenv.ContainerOptions{Name: "web", Network: "shop", Restart: "always"})
	p := start(t, d.Socket)
	container := "/v1.41/containers/" + id
	for name, text := range map[string]string{
		"create":                request("POST", "/v1.41/containers/create", `{"Image":"ironpost-test"}`),
		"exec":                  request("POST", container+"/exec", `{"Cmd":["/bin/sh"]}`),
		"start":                 request("POST", container+"/start", ""),
		"read a file":           request("GET", container+"/archive?path=/etc/shadow", ""),
		"remove":                request("DELETE", container, ""),
		"export an image":       request("GET", "/images/get?names=ironpost-test", ""),
		"another signal":        request("POST", container+"/kill?signal=SIGHUP", ""),
		"Docker's own signal":   request("POST", container+"/kill", ""),
		"two signals":           request("POST", container+"/kill?signal=SIGKILL&signal=SIGHUP", ""),
		"arguments of ps":       request("GET", container+"/top?ps_args=auxe", ""),
		"by name":               request("POST", "/containers/web/pause", ""),
		"climb":                 request("GET", "/containers/json/../../info", ""),
		"escaped climb":         request("GET", "/containers/json%2f..%2f..%2finfo", ""),
		"escaped letter":        request("GET", "/%63ontainers/json", ""),
		"another server":        request("GET", "http://example.org/containers/json", ""),
		"upgrade":               "GET /events HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
		"body of a read":        request("GET", "/containers/json", "{}"),
		"memory":                request("POST", container+"/update", `{"Memory":8388608,"RestartPolicy":{"Name":"no"}}`),
		"lower case":            request("POST", container+"/update", `{"memory":8388608}`),
		"a device":              request("POST", container+"/update", `{"Devices":[{"PathOnHost":"/dev/sda"}]}`),
		"no policy":             request("POST", container+"/update", `{"RestartPolicy":{"Name":"sometimes"}}`),
		"no JSON":               request("POST", container+"/update", `RestartPolicy=no`),
		"two documents":         request("POST", container+"/update", `{} {"Memory":1}`),
		"too long":              request("POST", container+"/update", `{"x":"`+strings.Repeat("a", 65<<10)+`"}`),
		"forced":                request("POST", "/networks/"+network+"/disconnect", `{"Container":"`+id+`","Force":true}`),
		"disconnect by name":    request("POST", "/networks/"+network+"/disconnect", `{"Container":"web"}`),
		"address of a gateway":  request("POST", "/networks/"+network+"/connect", `{"Container":"`+id+`","EndpointConfig":{"Gateway":"192.0.2.1"}}`),
		"a method of our own":   request("BREW", "/containers/json", ""),
		"metrics by POST":       request("POST", "/metrics", ""),
		"connect to the server": "CONNECT docker:80 HTTP/1.1\r\nHost: docker\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			status := p.send(t, text)
			require.Contains(t, []int{http.StatusForbidden, http.StatusBadRequest}, status, text)
		})
	}
	var now struct {
		State      struct{ Running, Paused bool }
		HostConfig struct {
			Memory        int
			RestartPolicy struct{ Name string }
		}
		NetworkSettings struct{ Networks map[string]any }
	}
	d.Do(t, "GET", "/containers/"+id+"/json", nil, &now)
	require.True(t, now.State.Running && !now.State.Paused, "nothing was done to the container")
	require.Zero(t, now.HostConfig.Memory)
	require.Equal(t, "always", now.HostConfig.RestartPolicy.Name)
	require.Len(t, now.NetworkSettings.Networks, 1)
	forwarded, refused := p.Counts()
	require.Zero(t, forwarded)
	require.GreaterOrEqual(t, refused, uint64(25))
}

// Every documented call passes: the tests of internal/docker and of the guard send them through a
// proxy. Here is what may come with them.
func TestForwardsWhatTheGuardSends(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	network := d.Network(t, "shop", "10.77.8.0/24")
	id := d.Run(t, testenv.ContainerOptions{Name: "web"})
	p := start(t, d.Socket)
	body := `{"Container":"` + id + `","EndpointConfig":{"IPAMConfig":{"IPv4Address":"10.77.8.9"},"Aliases":["shop"],"Links":null,"Gateway":"","IPPrefixLen":0}}`
	require.Equal(t, http.StatusOK, p.send(t, request("POST", "/v1.41/networks/"+network+"/connect", body)))
	require.Equal(t, http.StatusOK, p.send(t, request("POST", "/containers/"+id+"/update", `{"CpuShares":0,"Devices":null,"RestartPolicy":{"Name":"on-failure","MaximumRetryCount":3}}`)))
	require.Equal(t, http.StatusOK, p.send(t, "HEAD /_ping HTTP/1.1\r\nHost: a-name-of-another\r\nX-Registry-Auth: x\r\n\r\n"))
	var now struct {
		HostConfig struct {
			RestartPolicy struct {
				Name              string
				MaximumRetryCount int
			}
		}
		NetworkSettings struct {
			Networks map[string]struct {
				IPAddress string
				Aliases   []string
			}
		}
	}
	d.Do(t, "GET", "/containers/"+id+"/json", nil, &now)
	require.Equal(t, "on-failure", now.HostConfig.RestartPolicy.Name)
	require.Equal(t, 3, now.HostConfig.RestartPolicy.MaximumRetryCount)
	require.Equal(t, "10.77.8.9", now.NetworkSettings.Networks["shop"].IPAddress)
	require.Contains(t, now.NetworkSettings.Networks["shop"].Aliases, "shop")
}

func TestOneFeatureAllowsItsCallsOnly(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	id := d.Run(t, testenv.ContainerOptions{})
	p := start(t, d.Socket, docker.FeatureLogs)
	require.Equal(t, http.StatusOK, p.send(t, request("GET", "/containers/"+id+"/logs?stdout=1&tail=1", "")))
	require.Equal(t, http.StatusForbidden, p.send(t, request("POST", "/containers/"+id+"/pause", "")))
	_, err := docker.ParseFeatures([]string{"logs", "exec"})
	require.ErrorContains(t, err, `there is no feature "exec"`)
}

func TestRefusalsAreLoggedEscapedAndSeldom(t *testing.T) {
	t.Parallel()
	p := start(t, "/nonexistent/docker.sock")
	for range 200 {
		require.Equal(t, http.StatusForbidden, p.send(t, request("GET", "/containers/%1b%5b2J", "")))
	}
	text := p.log.String()
	require.NotContains(t, text, "\x1b")
	require.Contains(t, text, `\u001b[2J`)
	require.Less(t, strings.Count(text, "request refused"), 100)
	_, refused := p.Counts()
	require.Equal(t, uint64(200), refused)
	require.Equal(t, http.StatusBadGateway, p.send(t, request("GET", "/containers/json", "")), "there is no Docker")
}

func TestHeadersAreBounded(t *testing.T) {
	t.Parallel()
	p := start(t, "/nonexistent/docker.sock")
	long := "GET /_ping HTTP/1.1\r\nHost: docker\r\nX-Long: " + string(bytes.Repeat([]byte("a"), 1<<20)) + "\r\n\r\n"
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", p.address)
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, long) // the proxy closes the connection meanwhile
	answer, _ := io.ReadAll(c)
	require.NotContains(t, string(answer), "200 OK")
	require.NotContains(t, string(answer), "502")
}

// What reaches Docker is what the proxy writes, whatever the framing of the request was.
func TestForwardsNeitherTrailersNorFraming(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "docker.sock")
	engine, err := socketproxy.Listen(t.Context(), socket)
	require.NoError(t, err)
	arrived := make(chan *http.Request, 1)
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		arrived <- r
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(engine) }()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		require.ErrorIs(t, <-served, http.ErrServerClosed)
	})
	p := start(t, socket)
	body := `{"RestartPolicy":{"Name":"no"}}`
	require.Equal(t, http.StatusOK, p.send(t, "POST /containers/"+strings.Repeat("a", 64)+"/update HTTP/1.1\r\nHost: docker\r\nX-Registry-Auth: x\r\n"+
		"Transfer-Encoding: chunked\r\nTrailer: X-Late\r\n\r\n"+strconv.FormatInt(int64(len(body)), 16)+"\r\n"+body+"\r\n0\r\nX-Late: x\r\n\r\n"))
	r := <-arrived
	require.Empty(t, r.Trailer)
	require.Empty(t, r.TransferEncoding)
	require.Positive(t, r.ContentLength)
	require.Empty(t, r.Header.Get("X-Registry-Auth"))
	require.Equal(t, "docker", r.Host)
}

// It does not run beside tests that start processes: between fork and exec they hold the closed listener open.
func TestListensOnASocketThatAKilledProxyLeft(t *testing.T) { //nolint:paralleltest // see above
	path := filepath.Join(t.TempDir(), "proxy.sock")
	first, err := socketproxy.Listen(t.Context(), path)
	require.NoError(t, err)
	info, err := os.Lstat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o660), info.Mode().Perm())
	_, err = socketproxy.Listen(t.Context(), path)
	require.ErrorIs(t, err, syscall.EADDRINUSE, "it answers")

	first.(*net.UnixListener).SetUnlinkOnClose(false) // as after SIGKILL
	require.NoError(t, first.Close())
	second, err := socketproxy.Listen(t.Context(), path)
	require.NoError(t, err)
	require.NoError(t, second.Close())

	require.NoError(t, os.WriteFile(path, []byte("a file"), 0o600))
	_, err = socketproxy.Listen(t.Context(), path)
	require.ErrorIs(t, err, syscall.EADDRINUSE, "a file is not replaced")
}

func TestCountsAreServed(t *testing.T) {
	t.Parallel()
	p := start(t, "/nonexistent/docker.sock")
	require.Equal(t, http.StatusForbidden, p.send(t, request("GET", "/info", "")))
	response, err := http.Get("http://" + p.address + socketproxy.MetricsPath)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Contains(t, string(text), "\nironpost_socket_proxy_refused_total 1\n")
}
