//go:build accept && linux

package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/internal/testenv"
)

// Long runs behind `make accept-spread`: a hub, modules on another host, PostgreSQL, and faults while
// numbered alerts are raised. Each prints its number and its bar.

// setting returns a number of the environment, for smaller runs.
func setting(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, name)
	return n
}

func spreadKills(t *testing.T) int { return setting(t, "IRONPOST_TEST_SPREAD_KILLS", 100) }

// spreadRate is alerts a second: half of them from log lines, half from a plug-in.
func spreadRate(t *testing.T) int { return setting(t, "IRONPOST_TEST_SPREAD_RATE", 1000) }

const (
	spreadHost = "web-1"
	spreadNear = "10.92.0.1" // the hub's end of the link to spreadHost
	spreadFar  = "10.92.0.2"
	settleTime = 15 * time.Minute
	// isolateEvery and containers: each of the containers is named by one alert of the plug-in.
	isolateEvery = 3 * time.Second
	containers   = 5
	// notifyEvery of the plug-in's alerts is answered with an action.
	notifyEvery = 20
)

// spread is the hub, the processes of spreadHost and the ledger of what was raised.
type spread struct {
	*instance
	namespace string
	postgres  *testenv.Postgres
	docker    *testenv.Docker
	ids       []string // of the containers

	hub, pipeline, guard, collector *supervised
	further                         *supervised // module, if there is one

	module, configuration string // of further, and its part of the configuration of spreadHost

	lines, numbers atomic.Int64 // raised by log lines and by the plug-in
	answered       atomic.Int64 // of numbers, with an action
	isolating      atomic.Int64 // of numbers, with an isolation
	load           *task.Group
	stop           context.CancelFunc
	began          time.Time // the load
}

// processLog keeps the end of what a process logs, and counts how often it became ready.
type processLog struct {
	readies atomic.Int64

	mu   sync.Mutex
	text []byte
}

const (
	readyMark  = `"ready"`
	keptOfLogs = 8000
)

// Write implements io.Writer.
func (l *processLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := max(0, len(l.text)-len(readyMark)+1) // a mark may be written in two parts
	l.text = append(l.text, p...)
	l.readies.Add(int64(bytes.Count(l.text[seen:], []byte(readyMark))))
	l.text = append(l.text[:0], l.text[max(0, len(l.text)-keptOfLogs):]...)
	return len(p), nil
}

func (l *processLog) end() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// supervised is a process that is started again when it ends, as systemd does.
type supervised struct {
	t    *testing.T
	args []string
	log  *processLog

	mu      sync.Mutex
	cmd     *exec.Cmd
	ended   bool
	running sync.WaitGroup
	starts  atomic.Int64
}

func supervise(t *testing.T, args ...string) *supervised {
	p := &supervised{t: t, args: args, log: &processLog{}}
	p.running.Go(func() {
		for p.runOnce() {
			time.Sleep(100 * time.Millisecond) // as RestartSec
		}
	})
	t.Cleanup(func() {
		p.mu.Lock()
		p.ended = true
		if p.cmd != nil && p.cmd.Process != nil {
			_ = p.cmd.Process.Kill()
		}
		p.mu.Unlock()
		p.running.Wait()
		if t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(args[len(args)-3]), p.log.end())
		}
	})
	return p
}

func (p *supervised) runOnce() bool {
	p.mu.Lock()
	if p.ended {
		p.mu.Unlock()
		return false
	}
	cmd := exec.Command(p.args[0], p.args[1:]...)
	cmd.Stderr = p.log
	err := cmd.Start()
	p.cmd = cmd
	p.mu.Unlock()
	if err != nil {
		return false
	}
	p.starts.Add(1)
	_ = cmd.Wait()
	return true
}

func (p *supervised) signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.cmd.Process.Signal(sig)
}

func (p *supervised) readies() int { return int(p.log.readies.Load()) }

// awaitReady waits until p has become ready more often than before.
func (p *supervised) awaitReady(before int) {
	p.t.Helper()
	require.Eventually(p.t, func() bool { return p.readies() > before }, settleTime, 10*time.Millisecond, "%v", p.args)
}

// buildModules compiles the programs of single modules that other tests do not need.
var buildModules = sync.OnceValue(func() error {
	dir, err := build()
	if err != nil {
		return err
	}
	out, err := exec.Command("go", "build", "-o", dir+"/", "../cmd/ironpost-container-guard", "../cmd/ironpost-action-collector",
		"../cmd/ironpost-ebpf-engine", "../cmd/ironpost-sbom-scanner").CombinedOutput()
	if err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
})

// newSpread starts all of it and the load. prepare may change the hub's configuration, and set a further
// module of spreadHost.
func newSpread(t *testing.T, prepare func(*spread)) *spread {
	t.Helper()
	testenv.Require(t, "netns", rootOnly())
	require.NoError(t, buildModules())
	r := &spread{instance: newInstance(t), postgres: testenv.PostgreSQL(t), docker: testenv.Dockerd(t)}
	r.link()
	r.postgres.Exec(t, "postgres", "CREATE DATABASE ironpost")
	storage := fmt.Sprintf("[log_pipeline.storage]\nlog_lines = false\npostgres_url = %q\n", r.postgres.URL("ironpost"))
	r.replace("[log_pipeline]", "[log_pipeline]\nenabled = false")
	r.appendConfig("[collector]\nenabled = false\n" + storage)
	r.replace("[bus]\n", "[bus]\nmax_store_bytes = 17179869184\n")
	if prepare != nil {
		prepare(r)
	}
	r.listenOn(spreadNear + ":4443")
	join := []string{"bus", "add-host", spreadHost, "--out", r.path("bundle")}
	for _, module := range r.modules() {
		join = append(join, "--module", module)
	}
	r.ironpost(join...)
	r.ironpost("bus", "add-module", "numbers", "--publish", "alerts", "--trust", "peer", "--host", spreadHost, "--out", r.path("numbers"))
	r.hub = supervise(t, filepath.Join(r.bin, "ironpost-daemon"), "-c", r.path("ironpost.toml"))
	r.joinModules(storage)
	for i := range containers {
		r.ids = append(r.ids, r.docker.Run(t, testenv.ContainerOptions{Name: fmt.Sprintf("c%d", i)}))
	}
	r.awaitHealthy()
	r.startSpreadLoad()
	return r
}

// modules returns the names of the modules of spreadHost.
func (r *spread) modules() []string {
	names := []string{bus.LogPipeline, bus.ContainerGuard, bus.ActionCollector}
	if r.module != "" {
		names = append(names, r.module)
	}
	return names
}

// link makes the namespace of spreadHost and its link to the hub.
func (r *spread) link() {
	r.t.Helper()
	r.namespace = fmt.Sprintf("ipsp%d", os.Getpid())
	port := r.namespace
	testenv.Require(r.t, "netns", command("ip", "netns", "add", r.namespace))
	r.t.Cleanup(func() { require.NoError(r.t, command("ip", "netns", "del", r.namespace)) })
	require.NoError(r.t, command("ip", "link", "add", port, "type", "veth", "peer", "name", "wan", "netns", r.namespace))
	for _, args := range [][]string{
		{"ip", "addr", "add", spreadNear + "/24", "dev", port},
		{"ip", "link", "set", port, "up"},
		inNamespace(r.namespace, "ip", "addr", "add", spreadFar+"/24", "dev", "wan"),
		inNamespace(r.namespace, "ip", "link", "set", "wan", "up"),
		inNamespace(r.namespace, "ip", "link", "set", "lo", "up"),
	} {
		require.NoError(r.t, command(args...))
	}
}

func (r *spread) setLink(state string) {
	r.t.Helper()
	require.NoError(r.t, command("ip", "link", "set", r.namespace, state))
}

// joinModules starts the modules of spreadHost. The pipeline and the guard are behind the link; the
// collector, whose PostgreSQL is on this machine's loopback, is not.
func (r *spread) joinModules(storage string) {
	r.t.Helper()
	joins, err := os.ReadFile(r.path("bundle/ironpost.toml"))
	require.NoError(r.t, err)
	text := strings.ReplaceAll(string(joins), "/etc/ironpost/bus", r.path("bundle"))
	text = strings.Replace(text, "[general]", fmt.Sprintf("[general]\ndata_dir = %q\npid_file = %q", r.path("web"), r.path("run/web.pid")), 1)
	r.write("web.log", "")
	r.write("policies.toml", "[[policy]]\nid = \"tell\"\nactions = [\"notify\"]\nmatch.rules = [\"tell\"]\n"+
		"[[policy]]\nid = \"isolate\"\nactions = [\"isolate\"]\nrequire.signs = 1\nttl = \"1h\"\nmatch.rules = [\"isolate\"]\n")
	r.write("web.toml", text+fmt.Sprintf("[metrics]\nenabled = false\n[log_pipeline]\nsources = [\"file\"]\nwatch_paths = [%q]\n%s"+
		"[container]\nenabled = true\nauto_isolate = true\nmax_alert_age_secs = 3600\ndocker_socket = %q\npolicy_path = %q\nwebhook_url = %q\n%s%s",
		r.path("web.log"), storage, r.docker.Socket, r.path("policies.toml"), webhook(r.t, spreadNear), wideCaps, r.configuration))
	start := func(program string, wrap ...string) *supervised {
		return supervise(r.t, append(wrap, filepath.Join(r.bin, program), "-c", r.path("web.toml"))...)
	}
	r.pipeline = start("ironpost-log-pipeline", inNamespace(r.namespace)...)
	r.guard = start("ironpost-container-guard", inNamespace(r.namespace)...)
	r.collector = start("ironpost-action-collector")
	if r.module != "" {
		r.further = start(bus.ServiceName(r.module), inNamespace(r.namespace)...)
	}
}

// awaitHealthy waits until the hub and the modules of spreadHost are healthy.
func (r *spread) awaitHealthy() {
	r.t.Helper()
	began := time.Now()
	if !assert.Eventually(r.t, func() bool {
		out, _, code := r.command("status")
		return code == 0 && strings.Count(out, spreadHost) > len(r.modules())
	}, settleTime, time.Second, "not healthy") {
		out, errs, _ := r.command("status")
		require.Fail(r.t, out+errs)
	}
	r.t.Logf("healthy after %.1f s", time.Since(began).Seconds())
}

// startSpreadLoad raises alerts at spreadRate until finish.
func (r *spread) startSpreadLoad() {
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.t.Context())) // until finish, or the end of the test
	r.load, r.stop, r.began = task.New(ctx), cancel, time.Now()
	half := spreadRate(r.t) / 2
	f, err := os.OpenFile(r.path("web.log"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = f.Close() })
	r.load.Go("lines", func(ctx context.Context) error {
		return pace(ctx, half, func(n int) error {
			var b strings.Builder
			for range n {
				b.WriteString(rootShell(fmt.Sprintf("line%d", r.lines.Add(1))))
			}
			_, err := f.WriteString(b.String())
			return err
		})
	})
	options, err := bus.FromBundle(r.path("numbers"), "numbers", spreadHost, "tls://"+spreadNear+":4443")
	require.NoError(r.t, err)
	conn, err := bus.Connect(r.t.Context(), options)
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(r.t.Context())) })
	r.t.Cleanup(func() { cancel(); _ = r.load.Wait() }) // before conn is closed
	r.load.Go("numbers", func(ctx context.Context) error { return r.publishNumbers(ctx, conn, half) })
}

// pace calls raise with how many are due, until ctx ends.
func pace(ctx context.Context, rate int, raise func(n int) error) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	began, done := time.Now(), 0
	for ctx.Err() == nil {
		<-ticker.C
		due := min(int(time.Since(began).Seconds()*float64(rate))-done, 500) // what an outage delayed comes at its own pace
		if due <= 0 {
			continue
		}
		if err := raise(due); err != nil {
			return err
		}
		done += due
	}
	return nil
}

// publishNumbers publishes numbered alerts as a plug-in. Some are answered by the guard.
func (r *spread) publishNumbers(ctx context.Context, conn *bus.Conn, rate int) error {
	work := context.WithoutCancel(ctx) // what was begun is finished
	alerts, err := conn.Publisher(bus.PublisherConfig{Stream: bus.Alerts, Module: "numbers", Host: spreadHost})
	if err != nil {
		return err
	}
	defer alerts.Close()
	began, next := time.Now(), 0
	return pace(ctx, rate, func(n int) error {
		var batch []event.Record
		for range n {
			a := numbered(int(r.numbers.Load()) + len(batch) + 1)
			switch {
			case next < len(r.ids) && time.Since(began) > time.Duration(next+1)*isolateEvery:
				a.Rule.ID, a.Container = "isolate", &event.Container{ID: r.ids[next]}
				next++
				r.isolating.Add(1)
			case (int(r.numbers.Load())+len(batch)+1)%notifyEvery == 0:
				a.Rule.ID = "tell"
				r.answered.Add(1)
			}
			batch = append(batch, a)
		}
		err := alerts.Publish(work, batch...)
		r.numbers.Add(int64(len(batch)))
		return err
	})
}

func numbered(n int) *event.Alert {
	now := time.Now().UTC()
	return &event.Alert{
		ID: fmt.Sprintf("number-%07d", n), Schema: event.Schema, TraceID: fmt.Sprintf("%032x", n+1), Time: now, FirstSeen: now, LastSeen: now, Count: 1,
		Module: "numbers", Host: spreadHost, Severity: event.High, Title: "numbered alert", User: fmt.Sprintf("number%d", n),
		Rule: event.Rule{ID: "number", Title: "number", Level: event.High}, DedupKey: fmt.Sprint(n),
	}
}

// count returns the number that a query answers with.
func (r *spread) count(sql string) int {
	r.t.Helper()
	n, err := strconv.Atoi(r.postgres.Exec(r.t, "ironpost", sql))
	require.NoError(r.t, err)
	return n
}

// finish ends the load, waits until all of it has arrived, and requires every alert, row and isolation
// once, and everything healthy.
func (r *spread) finish(what string) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return r.isolating.Load() == containers }, settleTime, 100*time.Millisecond)
	r.stop()
	require.NoError(r.t, r.load.Wait())
	began := time.Now()
	lines, numbers, answered := int(r.lines.Load()), int(r.numbers.Load()), int(r.answered.Load())
	query := r.count
	const firsts = "FROM ironpost.alerts WHERE COALESCE((record->>'update')::bool, false) = false AND record->>'user' ~ '^(line|number)[0-9]+$'"
	require.Eventually(r.t, func() bool {
		return query("SELECT count(*) FROM ironpost.alerts") >= lines+numbers && query("SELECT count(DISTINCT record->>'user') "+firsts) >= lines+numbers
	}, settleTime, time.Second, "alerts are missing")
	const tells = "FROM ironpost.actions WHERE kind = 'notify' AND phase = 'intended'"
	require.Eventually(r.t, func() bool { return query("SELECT count(DISTINCT alert_id) "+tells) >= answered }, settleTime, time.Second, "actions are missing")
	caught := time.Since(began)
	users, rows, ids := query("SELECT count(DISTINCT record->>'user') "+firsts), query("SELECT count(*) "+firsts), query("SELECT count(DISTINCT id) "+firsts)
	actions, acted := query("SELECT count(*) "+tells), query("SELECT count(DISTINCT alert_id) "+tells)
	const isolations = "FROM ironpost.actions WHERE kind = 'isolate' AND phase = 'done'"
	require.Eventually(r.t, func() bool { return query("SELECT count(DISTINCT alert_id) "+isolations) >= containers }, settleTime, time.Second, "isolations are missing")
	isolated, doubled := query("SELECT count(DISTINCT alert_id) "+isolations), query("SELECT count(*) - count(DISTINCT alert_id) "+isolations)
	r.t.Logf("%s: %.0f alerts/s over %.0f s", what, float64(lines+numbers)/began.Sub(r.began).Seconds(), began.Sub(r.began).Seconds())
	r.t.Logf("%s: %d lines and %d numbers raised, %d distinct alerts stored: lost %d (bar 0), doubled rows %d (bar 0)", what, lines, numbers, users, lines+numbers-users, rows-users)
	r.t.Logf("%s: %d alerts to answer, %d answered: lost %d (bar 0), doubled actions %d (bar 0); %d containers isolated, doubled isolations %d (bar 0); caught up in %.1f s",
		what, answered, acted, answered-acted, actions-acted, isolated, doubled, caught.Seconds())
	require.Equal(r.t, []int{lines + numbers, lines + numbers, lines + numbers}, []int{users, rows, ids})
	require.Equal(r.t, []int{answered, answered}, []int{acted, actions})
	require.Equal(r.t, containers, isolated)
	require.Zero(r.t, doubled)
	r.awaitHealthy()
}

// killing kills a process again and again while the load goes on.
func (r *spread) killing(p *supervised) {
	r.t.Helper()
	for range spreadKills(r.t) {
		before := p.readies()
		p.signal(syscall.SIGKILL)
		p.awaitReady(before)
		time.Sleep(rand.N(500 * time.Millisecond)) // the load goes on
	}
	r.logKills(p)
}

func (r *spread) logKills(p *supervised) { r.t.Logf("killed %d times", p.starts.Load()-1) }

func TestAcceptSpreadHubKilled(t *testing.T) {
	r := newSpread(t, nil)
	r.killing(r.hub)
	r.finish("hub killed")
}

func TestAcceptSpreadPipelineKilled(t *testing.T) {
	r := newSpread(t, nil)
	r.killing(r.pipeline)
	r.finish("log pipeline killed")
}

func TestAcceptSpreadGuardKilled(t *testing.T) {
	r := newSpread(t, nil)
	r.killing(r.guard)
	r.finish("guard killed")
}

func TestAcceptSpreadCollectorKilled(t *testing.T) {
	r := newSpread(t, nil)
	r.killing(r.collector)
	r.finish("collector killed")
}

func TestAcceptSpreadLinkCut(t *testing.T) {
	r := newSpread(t, nil)
	for _, cut := range []time.Duration{time.Second, 15 * time.Second, 2 * time.Minute} {
		time.Sleep(5 * time.Second) // the load goes on
		r.setLink("down")
		time.Sleep(cut)
		r.setLink("up")
	}
	time.Sleep(5 * time.Second)
	r.finish("link cut for 1, 15, 120 s")
}

func TestAcceptSpreadHubRestarted(t *testing.T) {
	r := newSpread(t, nil)
	for range 10 {
		before := r.hub.readies()
		r.hub.signal(syscall.SIGTERM)
		r.hub.awaitReady(before)
		time.Sleep(2 * time.Second) // the load goes on
	}
	r.finish("hub restarted 10 times")
}

func TestAcceptSpreadPostgresKilled(t *testing.T) {
	r := newSpread(t, nil)
	for range min(20, spreadKills(t)) {
		time.Sleep(3 * time.Second) // the load goes on
		r.postgres.Kill(t)
		time.Sleep(time.Second)
		r.postgres.Start(t)
	}
	r.finish("PostgreSQL killed")
}

func TestAcceptSpreadPostgresDown(t *testing.T) {
	r := newSpread(t, nil)
	r.postgres.Stop(t)
	time.Sleep(time.Duration(setting(t, "IRONPOST_TEST_SPREAD_DOWN", 600)) * time.Second)
	r.postgres.Start(t)
	r.finish("PostgreSQL down")
}

func TestAcceptSpreadDiskFull(t *testing.T) {
	disk := testenv.SmallDisk(t, "2g")
	r := newSpread(t, func(r *spread) {
		r.replace("max_store_bytes = 17179869184", fmt.Sprintf("max_store_bytes = 1073741824\nstore_dir = %q", filepath.Join(disk, "bus")))
	})
	for range 3 {
		time.Sleep(5 * time.Second) // the load goes on
		ballast := testenv.FillDisk(t, disk, 0)
		require.Eventually(t, func() bool { _, _, code := r.command("status"); return code != 0 }, settleTime, time.Second, "a full disk is not shown")
		time.Sleep(10 * time.Second)
		require.NoError(t, os.Remove(ballast))
	}
	r.finish("disk full 3 times")
}

// A cluster of three servers: the leader of the stream of alerts and the leader of the cluster are killed
// in turn, and come back.
func TestAcceptSpreadClusterNodeLost(t *testing.T) {
	s, c := newClusterStage(t)
	ctx, cancel := context.WithCancel(t.Context())
	lines, load := 0, task.New(ctx)
	load.Go("lines", func(ctx context.Context) error {
		return pace(ctx, spreadRate(t)/2, func(n int) error {
			s.writeRootShells(lines, n)
			lines += n
			return nil
		})
	})
	t.Cleanup(func() { cancel(); _ = load.Wait() })
	lost := min(10, spreadKills(t))
	for k := range lost {
		time.Sleep(2 * time.Second) // the load goes on
		leader := []func() *testenv.NATSServer{c.streamLeader, c.MetaLeader}[k%2]
		var n *testenv.NATSServer
		s.eventually(func() bool { n = leader(); return n != nil })
		c.Kill(n)
		time.Sleep(5 * time.Second) // the load goes on
		c.start(n)
		c.healthy()
	}
	cancel()
	require.NoError(t, load.Wait())
	t.Logf("a leader of the cluster killed %d times", lost)
	s.requireOnce(2*lines, lines, settleTime)
	c.healthy()
}
