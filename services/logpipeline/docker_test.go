package logpipeline_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/logpipeline"
)

// newDockerRig returns a rig with the container logs of d as its source.
func newDockerRig(t *testing.T, d *testenv.Docker) *rig {
	t.Helper()
	r := newRig(t)
	r.docker = d.Socket
	r.cfg.Sources = []string{logpipeline.SourceDocker}
	r.cfg.RulesPath, r.cfg.ShippedRules = "", true
	return r
}

// runEcho runs a container that writes to its log the lines of logLine.
func runEcho(t *testing.T, d *testenv.Docker, name string) string {
	t.Helper()
	return d.Run(t, testenv.ContainerOptions{Name: name, Cmd: []string{"/bin/sh", "-c", "mkfifo /log; while true; do cat /log; done"}})
}

// logLine makes the container write a line to its log.
func logLine(t *testing.T, d *testenv.Docker, id, line string) {
	t.Helper()
	d.Exec(t, id, "/bin/sh", "-c", "until [ -p /log ]; do sleep 0.01; done; cat > /log <<'END'\n"+line+"\nEND")
	require.Eventually(t, func() bool { return strings.Contains(d.Logs(t, id), line) }, patience, tick)
}

// traversal returns an access log line with a path traversal.
func traversal(ip string) string {
	return fmt.Sprintf(`%s - - [%s] "GET /static/../../../../etc/passwd HTTP/1.1" 404 153 "-" "curl/8.5.0"`, ip, time.Now().Format("02/Jan/2006:15:04:05 -0700"))
}

// An attack in a container's access log names the container as Docker does, and each container is a separate
// entity.
func TestWebAttackNamesItsContainer(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	r := newDockerRig(t, d)
	s := r.start()
	shop, blog := runEcho(t, d, "shop"), runEcho(t, d, "blog")
	logLine(t, d, shop, `{"container":{"id":"`+blog+`","name":"blog"}}`+"\n"+traversal("192.0.2.66"))
	a := r.wait(1)[0]
	require.Equal(t, "Path Traversal In Web Request", a.Title)
	require.Equal(t, &event.Container{ID: shop, Name: "shop", Image: testenv.DockerImage}, a.Container)
	require.Equal(t, "192.0.2.66", a.Source.IP)
	require.Equal(t, &event.Origin{Transport: event.TransportDocker, Container: shop}, a.Origin)
	require.Equal(t, event.TrustContainer, a.Trust)
	require.Contains(t, a.Evidence[0], "/etc/passwd")

	logLine(t, d, shop, traversal("192.0.2.66"))
	logLine(t, d, blog, traversal("192.0.2.66"))
	b := r.wait(2)[1]
	require.Equal(t, blog, b.Container.ID)
	require.NotEqual(t, a.DedupKey, b.DedupKey)
	require.Equal(t, uint64(2), s.count("containers"))
	require.Empty(t, s.Health().Reasons)
}

// Lines that a container wrote while the service was stopped are processed after the start, once.
func TestContainerLinesSurviveAStop(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	r := newDockerRig(t, d)
	s := r.start()
	id := runEcho(t, d, "shop")
	logLine(t, d, id, traversal("192.0.2.1"))
	r.wait(1)
	s.stop()
	logLine(t, d, id, traversal("192.0.2.2"))
	d.Do(t, "POST", "/containers/"+id+"/stop?t=0", nil, nil)
	r.start()
	alerts := r.wait(2)
	requireOnce(t, alerts)
	require.Equal(t, "192.0.2.2", alerts[1].Source.IP)
	require.Len(t, alerts, 2)
}

// A correlation names a container only if all counted lines are of that container.
func TestCorrelationNamesOneContainerOrNone(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	r := newDockerRig(t, d)
	r.cfg.RulesPath = absolute(t, "testdata/rules")
	r.start()
	one, two := runEcho(t, d, "one"), runEcho(t, d, "two")
	logLine(t, d, one, strings.TrimSpace(strings.Repeat(attempt("192.0.2.1"), 5)))
	require.Equal(t, one, ofRule(r.wait(1), ruleMany)[0].Container.ID)
	logLine(t, d, one, strings.TrimSpace(strings.Repeat(attempt("192.0.2.2"), 3)))
	logLine(t, d, two, strings.TrimSpace(strings.Repeat(attempt("192.0.2.2"), 2)))
	both := ofRule(r.wait(2), ruleMany)[1]
	require.Nil(t, both.Container)
	require.Equal(t, &event.Origin{Transport: event.TransportDocker}, both.Origin)
}

func TestReloadTurnsDockerOnAndOff(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	r := newDockerRig(t, d)
	r.cfg.Sources = []string{logpipeline.SourceFile}
	s := r.start()
	id := runEcho(t, d, "shop")
	logLine(t, d, id, traversal("192.0.2.1"))
	r.cfg.Sources = []string{logpipeline.SourceDocker}
	s.reload(r.cfg)
	require.Eventually(t, func() bool { return s.count("containers") == 1 }, patience, tick)
	logLine(t, d, id, traversal("192.0.2.2"))
	require.Equal(t, "192.0.2.2", r.wait(1)[0].Source.IP, "lines from before the reload are not read")
	r.cfg.Sources = []string{logpipeline.SourceFile}
	s.reload(r.cfg)
	require.Eventually(t, func() bool { return s.count("containers") == 0 }, patience, tick)
}

// Without Docker the other sources are read.
func TestMissingDockerDegrades(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.docker = r.dir + "/none.sock"
	r.cfg.Sources = []string{logpipeline.SourceFile, logpipeline.SourceDocker}
	s := r.start()
	require.Eventually(t, func() bool { return s.Health().Status == event.Degraded }, patience, tick)
	require.Contains(t, strings.Join(s.Health().Reasons, "\n"), "logs of containers are not read: ")
	r.write(failed("bob", "192.0.2.1"))
	r.wait(1)
}
