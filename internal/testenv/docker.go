package testenv

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// DockerImage is the image that every dockerd of Dockerd has: busybox with links for its
// applets.
const DockerImage = "ironpost-test:latest"

// Docker is a private dockerd with its own socket, data and network namespace. Its
// methods fail the test they are given; they may be called concurrently, except Kill, Stop
// and Start.
type Docker struct {
	Socket string // path
	Dir    string // everything dockerd writes

	flags  []string
	daemon *daemon
	http   *http.Client
	ns     *os.File // network namespace, kept while dockerd restarts
}

// ContainerOptions describes a container for Run.
type ContainerOptions struct {
	Name    string            // empty: Docker chooses
	Image   string            // empty: DockerImage
	Cmd     []string          // empty: sleep for an hour
	Env     []string          // "NAME=value"
	Labels  map[string]string //
	Network string            // default, host, none, container:<id> or a network's name
	Restart string            // restart policy
	Publish map[string]string // "80/tcp": "127.0.0.1:8080"; Docker chooses an empty port
	TTY     bool
	Binds   []string // "/on/the/host:/inside"

	// Endpoint is merged into the configuration of the endpoint on Network, such
	// as {"Aliases": ["web"], "IPAMConfig": {"IPv4Address": "10.1.0.9"}}.
	Endpoint map[string]any
	// Host is merged into HostConfig.
	Host map[string]any
}

// Dockerd starts a private dockerd for one test and ends it afterwards, with all its
// containers. That takes about half a second. It needs root and Debian's docker.io and
// busybox-static; the test is skipped without them.
func Dockerd(t testing.TB, flags ...string) *Docker {
	t.Helper()
	return dockerdIn(t, newNetNS, flags...)
}

// DockerdHere is Dockerd in the network namespace of the test, which must be its own (InOwnNetwork).
func DockerdHere(t testing.TB, flags ...string) *Docker {
	t.Helper()
	Require(t, "a network namespace", InOwnNetwork())
	return dockerdIn(t, func() (*os.File, error) { return os.Open("/proc/thread-self/ns/net") }, flags...)
}

func dockerdIn(t testing.TB, namespace func() (*os.File, error), flags ...string) *Docker {
	t.Helper()
	Require(t, "docker", dockerMissing())
	dir, err := os.MkdirTemp("", "ipd") //nolint:usetesting // t.TempDir() is too long for a socket's path
	require.NoError(t, err)
	d := &Docker{Socket: filepath.Join(dir, "s"), Dir: dir, flags: flags}
	d.http = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", d.Socket)
	}}}
	d.ns, err = namespace()
	require.NoError(t, err)
	t.Cleanup(func() { d.destroy(t) })
	d.Start(t)
	d.importImage(t)
	return d
}

func dockerMissing() error {
	if err := rootOnLinux(); err != nil {
		return err
	}
	_, noDocker := exec.LookPath("dockerd")
	_, noBusybox := exec.LookPath("busybox")
	return errors.Join(noDocker, noBusybox)
}

// Start starts dockerd after Kill or Stop and waits until it answers.
func (d *Docker) Start(t testing.TB) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		err := d.tryStart(t.Context())
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("dockerd does not start: %v\n%s", err, d.logTail())
		}
	}
}

// tryStart starts dockerd and waits until it answers, or ends: that happens when a killed
// predecessor left something behind.
func (d *Docker) tryStart(ctx context.Context) error {
	d.clearPidFiles()
	args := append([]string{
		"--host", "unix://" + d.Socket, "--data-root", filepath.Join(d.Dir, "data"), "--exec-root", filepath.Join(d.Dir, "exec"),
		"--pidfile", filepath.Join(d.Dir, "pid"), "--shutdown-timeout", "2", "--log-level", "warn",
	}, d.flags...)
	daemon, err := startDaemon(d.ns, filepath.Join(d.Dir, "log"), args) //nolint:contextcheck // dockerd outlives the test's context, for the cleanup
	if err != nil {
		return err
	}
	d.daemon = daemon
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-daemon.done:
			return errors.New("dockerd ended")
		case <-tick.C:
			if status, _, err := d.request(ctx, "GET", "/version", nil); err == nil && status == http.StatusOK {
				return nil
			}
		}
	}
}

// clearPidFiles removes the PID files of a killed dockerd: in a container without an init
// process, the next dockerd would take the zombie of its containerd for alive.
func (d *Docker) clearPidFiles() {
	_ = os.Remove(filepath.Join(d.Dir, "pid"))
	path := filepath.Join(d.Dir, "exec", "containerd", "containerd.pid")
	if pid, err := os.ReadFile(path); err == nil && !alive(strings.TrimSpace(string(pid))) {
		_ = os.Remove(path)
	}
}

// Kill ends dockerd with SIGKILL and waits for it. Containers go on.
func (d *Docker) Kill(t testing.TB) { t.Helper(); d.end(t, os.Kill) }

// Stop ends dockerd with SIGTERM and waits for it.
func (d *Docker) Stop(t testing.TB) { t.Helper(); d.end(t, terminate) }

// PID returns dockerd's process id.
func (d *Docker) PID() int { return d.daemon.cmd.Process.Pid }

// RunInNamespace runs fn in dockerd's network namespace, on a thread of its own.
// Connections that fn itself opens reach published ports and containers; those of
// goroutines it starts do not.
func (d *Docker) RunInNamespace(fn func()) error {
	return inThread("run in network namespace", func() error {
		err := enterNamespace(d.ns)
		if err == nil {
			fn()
		}
		return err
	})
}

func (d *Docker) end(t testing.TB, s os.Signal) {
	t.Helper()
	require.NoError(t, d.daemon.cmd.Process.Signal(s))
	select {
	case <-d.daemon.done:
	case <-time.After(30 * time.Second):
		t.Fatalf("dockerd does not end\n%s", d.logTail())
	}
	d.http.CloseIdleConnections()
}

// Run creates and starts a container and returns its id.
func (d *Docker) Run(t testing.TB, o ContainerOptions) string {
	t.Helper()
	id := d.Create(t, o)
	d.Do(t, "POST", "/containers/"+id+"/start", nil, nil)
	return id
}

// Create creates a container without starting it and returns its id.
func (d *Docker) Create(t testing.TB, o ContainerOptions) string {
	t.Helper()
	var made struct {
		ID string `json:"Id"`
	}
	d.Do(t, "POST", "/containers/create?name="+url.QueryEscape(o.Name), o.body(), &made)
	return made.ID
}

func (o ContainerOptions) body() map[string]any {
	host := map[string]any{"NetworkMode": cmp.Or(o.Network, "default"), "RestartPolicy": map[string]any{"Name": cmp.Or(o.Restart, "no")}, "Binds": o.Binds}
	exposed, bindings := map[string]any{}, map[string]any{}
	for inner, outer := range o.Publish {
		ip, port, _ := strings.Cut(outer, ":")
		exposed[inner] = struct{}{}
		bindings[inner] = []map[string]string{{"HostIp": ip, "HostPort": port}}
	}
	host["PortBindings"] = bindings
	maps.Copy(host, o.Host)
	cmd := o.Cmd
	if len(cmd) == 0 {
		cmd = []string{"/bin/sleep", "3600"}
	}
	body := map[string]any{"Image": cmp.Or(o.Image, DockerImage), "Cmd": cmd, "Env": o.Env, "Labels": o.Labels, "Tty": o.TTY, "HostConfig": host, "ExposedPorts": exposed, "StopTimeout": 1}
	if o.Endpoint != nil {
		body["NetworkingConfig"] = map[string]any{"EndpointsConfig": map[string]any{o.Network: o.Endpoint}}
	}
	return body
}

// Network creates a bridge network and returns its id. Docker chooses an empty subnet;
// then no container on it can request an address.
func (d *Docker) Network(t testing.TB, name, subnet string) string {
	t.Helper()
	body := map[string]any{"Name": name, "CheckDuplicate": true}
	if subnet != "" {
		body["IPAM"] = map[string]any{"Config": []map[string]string{{"Subnet": subnet}}}
	}
	var made struct {
		ID string `json:"Id"`
	}
	d.Do(t, "POST", "/networks/create", body, &made)
	return made.ID
}

// Remove kills and removes a container.
func (d *Docker) Remove(t testing.TB, id string) {
	t.Helper()
	d.Do(t, "DELETE", "/containers/"+id+"?force=1&v=1", nil, nil)
}

// Exec runs a command in a container and returns what it wrote.
func (d *Docker) Exec(t testing.TB, id string, cmd ...string) string {
	t.Helper()
	var made struct {
		ID string `json:"Id"`
	}
	d.Do(t, "POST", "/containers/"+id+"/exec", map[string]any{"Cmd": cmd, "AttachStdout": true, "AttachStderr": true}, &made)
	_, out, err := d.request(context.WithoutCancel(t.Context()), "POST", "/exec/"+made.ID+"/start", map[string]any{})
	require.NoError(t, err)
	return unframe(out)
}

// Logs returns what a container wrote, to both streams.
func (d *Docker) Logs(t testing.TB, id string) string {
	t.Helper()
	_, out, err := d.request(context.WithoutCancel(t.Context()), "GET", "/containers/"+id+"/logs?stdout=1&stderr=1", nil)
	require.NoError(t, err)
	return unframe(out)
}

// Do sends one request to dockerd and decodes the response into out, if not nil. A status
// of 400 or more fails the test. It works in cleanups, too.
func (d *Docker) Do(t testing.TB, method, path string, body, out any) {
	t.Helper()
	status, answer, err := d.request(context.WithoutCancel(t.Context()), method, path, body)
	require.NoError(t, err)
	if status >= http.StatusBadRequest {
		t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	if out != nil {
		require.NoError(t, json.Unmarshal(answer, out))
	}
}

func (d *Docker) request(ctx context.Context, method, path string, body any) (int, []byte, error) {
	var in io.Reader
	contentType := "application/json"
	switch b := body.(type) {
	case nil:
	case io.Reader:
		in, contentType = b, "application/x-tar"
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			return 0, nil, err
		}
		in = bytes.NewReader(raw)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://docker"+path, in)
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Content-Type", contentType)
	resp, err := d.http.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

// Image builds an image with the contents of DockerImage and labels, under name, and returns its id: another one for other labels.
func (d *Docker) Image(t testing.TB, name string, labels map[string]string) string {
	t.Helper()
	var dockerfile strings.Builder
	dockerfile.WriteString("FROM " + DockerImage + "\n")
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		fmt.Fprintf(&dockerfile, "LABEL %q=%q\n", key, labels[key])
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "Dockerfile", Mode: 0o644, Size: int64(dockerfile.Len())}))
	_, err := w.Write([]byte(dockerfile.String()))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	d.Do(t, "POST", "/build?rm=1&t="+url.QueryEscape(name), &archive, nil)
	var built struct {
		ID string `json:"Id"`
	}
	d.Do(t, "GET", "/images/"+name+"/json", nil, &built)
	return built.ID
}

func (d *Docker) importImage(t testing.TB) {
	t.Helper()
	path, err := exec.LookPath("busybox")
	require.NoError(t, err)
	program, err := os.ReadFile(path)
	require.NoError(t, err)
	applets, err := exec.CommandContext(t.Context(), path, "--list").Output()
	require.NoError(t, err)
	name, tag, _ := strings.Cut(DockerImage, ":")
	d.Do(t, "POST", "/images/create?fromSrc=-&repo="+name+"&tag="+tag, bytes.NewReader(busyboxTar(t, program, applets)), nil)
}

func busyboxTar(t testing.TB, program, applets []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o1777}))
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "bin/busybox", Mode: 0o755, Size: int64(len(program))}))
	_, err := w.Write(program)
	require.NoError(t, err)
	for applet := range strings.FieldsSeq(string(applets)) {
		if applet != "busybox" {
			require.NoError(t, w.WriteHeader(&tar.Header{Name: "bin/" + applet, Typeflag: tar.TypeSymlink, Linkname: "busybox", Mode: 0o777}))
		}
	}
	require.NoError(t, w.Close())
	return out.Bytes()
}

func (d *Docker) logTail() string {
	b, err := os.ReadFile(filepath.Join(d.Dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4096):])
}

// unframe removes the headers of a multiplexed stream.
func unframe(b []byte) string {
	var out strings.Builder
	for len(b) >= 8 {
		n := min(int(binary.BigEndian.Uint32(b[4:8])), len(b)-8)
		out.Write(b[8 : 8+n])
		b = b[8+n:]
	}
	return out.String()
}
