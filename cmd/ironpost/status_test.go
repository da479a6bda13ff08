package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline"
	"github.com/ironpost/ironpost/services/logpipeline/inputstats"
)

func TestStatusShowsReasons(t *testing.T) {
	b := bustest.New(t, bustest.WithModules(bus.ActionCollector))
	daemon(t, b, healthOf(
		event.ModuleHealth{Name: bus.EBPFEngine, Since: began},
		event.ModuleHealth{Name: bus.ActionCollector, Host: "testhost", Enabled: true, Status: event.Degraded, Since: began, Reasons: []string{"no space", "left"}},
	))
	r := on(t, b, "status")
	require.Equal(t, exitDegraded, r.code)
	require.Empty(t, r.err)
	require.Contains(t, r.out, `HOST      STATUS    UPTIME  VERSION
testhost  degraded  1m1s    v1.2.3

MODULE            HOST      STATUS    SINCE
ebpf-engine       testhost  off       2026-11-23T08:00:00Z
action-collector  testhost  degraded  2026-11-23T08:00:00Z

action-collector on testhost
  since 2026-11-23T08:00:00Z: no space
  since 2026-11-23T08:00:00Z: left

STREAM            MESSAGES  SIZE  USED  LAST
IRONPOST_PACKETS  0         0 B   0%    0
`)
	require.Contains(t, r.out, "action-collector-audit_testhost  actions  present  0        0        0\n")
}

func newStatusBus(t *testing.T, modules ...event.ModuleHealth) *bustest.Bus {
	t.Helper()
	b := bustest.New(t)
	daemon(t, b, healthOf(modules...))
	return b
}

func TestStatusHealthyExitsWithZero(t *testing.T) {
	b := bustest.New(t)
	daemon(t, b, healthOf(event.ModuleHealth{Name: bus.LogPipeline, Host: "testhost", Enabled: true}))
	require.Equal(t, exitOK, on(t, b, "status").code)
}

// The daemon runs on with what it read before: its state is told also while the file is broken.
func TestStatusNeedsNoValidConfiguration(t *testing.T) {
	b := newStatusBus(t, event.ModuleHealth{Name: bus.LogPipeline, Host: "testhost", Enabled: true})
	for _, broken := range []string{"[general\n", "[general]\nlog_level = \"loud\"\n", "[general]\nlog_level = info\n"} {
		path := filepath.Join(t.TempDir(), "ironpost.toml")
		require.NoError(t, os.WriteFile(path, []byte(broken+"[bus]\nsocket = \""+b.Socket()+"\"\n"), 0o600))
		r := call(t, "-c", path, "status")
		require.Equal(t, exitOK, r.code, r.err)
		require.Contains(t, r.out, "log-pipeline  testhost  healthy")
		require.Contains(t, r.err, "warning: ignoring the configuration "+path)
	}
}

// While no name server answers, an operator can still work: status looks no name up.
func TestStatusAsksNoNameServer(t *testing.T) { //nolint:paralleltest // it changes the resolver of the process
	b := bustest.New(t)
	daemon(t, b, healthOf(event.ModuleHealth{Name: bus.LogPipeline, Host: "testhost", Enabled: true}))
	resolver := net.DefaultResolver
	defer func() { net.DefaultResolver = resolver }()
	var asked atomic.Int64
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		asked.Add(1)
		return nil, errors.New("no name server")
	}}
	r := on(t, b, "status")
	require.Equal(t, exitOK, r.code, r.err)
	require.Contains(t, r.out, bus.LogPipeline)
	require.Zero(t, asked.Load())
	_, err := net.LookupHost("hub.example.org")
	require.Error(t, err)
	require.NotZero(t, asked.Load(), "a look-up is seen")
}

// Only counters of losses above zero are shown, by reason.
func TestStatusShowsLossCounters(t *testing.T) {
	b := bustest.New(t)
	daemon(t, b, healthOf(event.ModuleHealth{Name: bus.LogPipeline, Host: "testhost", Enabled: true, Counters: map[string]uint64{
		"lines": 7, "syslog_dropped_spool_full": 3, "tcp_closed_framing": 2, "tcp_closed_limit": 1, "tcp_closed_idle": 9, "tcp_closed_error": 4, "syslog_dropped_disk": 0, "ring_lost": 5, "ring_lost:eth0": 5,
	}}))
	require.Contains(t, on(t, b, "status").out, `
LOST BY       HOST      WHAT                       HOW MUCH
log-pipeline  testhost  ring_lost                  5
log-pipeline  testhost  syslog_dropped_spool_full  3
log-pipeline  testhost  tcp_closed_framing         2
log-pipeline  testhost  tcp_closed_limit           1

STREAM `)
}

func TestStatusAsksModulesThatRunAlone(t *testing.T) {
	b := bustest.New(t)
	stop, err := b.Conn(bus.SBOMScanner).Serve(context.WithoutCancel(t.Context()), bus.ServiceConfig{
		Module: bus.SBOMScanner, Host: b.Host(), Version: "v1.2.3",
		Verbs: map[string]bus.Verb{"status": func(context.Context, []byte) (any, error) {
			return event.ModuleHealth{Name: bus.SBOMScanner, Host: b.Host(), Enabled: true, Status: event.Unhealthy, Since: began}, nil
		}},
	})
	require.NoError(t, err)
	defer stop()
	r := on(t, b, "status")
	require.Equal(t, exitDegraded, r.code, r.err)
	require.Contains(t, r.out, "sbom-scanner  testhost  unhealthy")
}

// The daemon of one host, whose key may be stolen, does not speak for another: its answer neither stands in for that host's
// nor keeps its modules from being asked.
func TestStatusOfOneHostSaysNothingAboutAnother(t *testing.T) {
	b := bustest.New(t)
	health := healthOf(event.ModuleHealth{Name: bus.SBOMScanner, Host: "victim", Enabled: true})
	health.Host = "victim"
	daemon(t, b, health)
	r := on(t, b, "status")
	require.NotContains(t, r.out, "victim")
	require.Contains(t, r.out, "sbom-scanner  testhost  healthy")
}

func TestStatusJSONKeepsItsShape(t *testing.T) {
	b := bustest.New(t, bustest.WithModules(bus.ActionCollector))
	daemon(t, b, healthOf(event.ModuleHealth{Name: bus.ActionCollector, Host: "testhost", Enabled: true, Since: began, Counters: map[string]uint64{"n": 1}}))
	r := on(t, b, "status", "--json")
	require.Equal(t, exitOK, r.code, r.err)
	var got map[string]any
	require.NoError(t, json.Unmarshal([]byte(r.out), &got))
	for _, s := range got["streams"].([]any) { // sized by the test's bus
		delete(s.(map[string]any), "max_bytes")
	}
	shape, err := json.Marshal(got)
	require.NoError(t, err)
	empty := func(name string) string {
		return `{"name":"` + name + `","messages":0,"bytes":0,"first_seq":0,"last_seq":0,"durables":[]}`
	}
	require.JSONEq(t, `{"status":"healthy",
		"hosts":[{"host":"testhost","status":"healthy","version":"v1.2.3","uptime_secs":61,"time":"2026-11-23T08:00:00Z"}],
		"modules":[{"name":"action-collector","host":"testhost","enabled":true,"status":"healthy","since":"2026-11-23T08:00:00Z","counters":{"n":1}}],
		"silent":[],"inputs":[],
		"streams":[`+empty("IRONPOST_PACKETS")+`,`+empty("IRONPOST_ALERTS")+`,
			{"name":"IRONPOST_ACTIONS","messages":0,"bytes":0,"first_seq":0,"last_seq":0,
			 "durables":[{"name":"action-collector-audit_testhost","present":true,"pending":0,"ack_pending":0,"redelivered":0}]},
			`+empty("IRONPOST_DLQ")+`]}`, string(shape))
}

func TestStatusWithoutServicesIsUnreachable(t *testing.T) {
	b := bustest.New(t)
	require.Equal(t, exitUnreachable, on(t, b, "status").code)
}

// Each input has its counts; what lost something is first. Names are cut at their start, and are of any program: they are escaped.
func TestStatusShowsInputs(t *testing.T) {
	b := bustest.New(t)
	daemon(t, b, healthOf(event.ModuleHealth{Name: bus.LogPipeline, Host: "testhost", Enabled: true}))
	stop, err := b.Conn(bus.LogPipeline).Serve(context.WithoutCancel(t.Context()), bus.ServiceConfig{
		Module: bus.LogPipeline, Host: b.Host(), Version: "v1.2.3",
		Verbs: map[string]bus.Verb{logpipeline.VerbInputs: func(context.Context, []byte) (any, error) {
			return logpipeline.InputsReply{Time: began, Inputs: []inputstats.Input{
				{ID: inputstats.ID{Kind: inputstats.Container, Name: "shop"}, Since: began, Last: began, Counts: inputstats.Counts{Lines: 1000, Unparsed: 3, Formats: map[string]uint64{"access": 900, "json": 97}}},
				{ID: inputstats.ID{Kind: inputstats.File, Name: "/srv/www/customers/long-name.example/log/access.log"}, Since: began, Last: began, Counts: inputstats.Counts{
					Lines: 12_345_678, Unparsed: 6_200_000, Truncated: 4, Formats: map[string]uint64{"access": 6_145_678}, Lost: map[string]uint64{"lost_bytes_rotated": 2048, "lost_bytes_truncated": 1024, "lost_files_unread": 1},
				}},
				{ID: inputstats.ID{Kind: inputstats.Journal}, Since: began},
			}}, nil
		}},
	})
	require.NoError(t, err)
	t.Cleanup(stop)
	r := on(t, b, "status", "--utc")
	require.Equal(t, exitOK, r.code, r.err)
	require.Contains(t, r.out, "LINES  FORMATS      UNPARSED")
	require.Regexp(t, `(?m)^…\S+/log/access.log +12.3M +access +50% +.* +3.0 KiB, 1 files, 4 cut$`, r.out)
	require.Regexp(t, `(?m)^container:shop +1000 +access json +<1% `, r.out)
	require.Regexp(t, `(?m)^journal +0 +- +0% +- +-$`, r.out)

	r = on(t, b, "status", "--json")
	var got shownOverview
	require.NoError(t, json.Unmarshal([]byte(r.out), &got))
	require.Len(t, got.Inputs, 3)
	require.EqualValues(t, 1000, got.Inputs[0].Lines)
	require.Equal(t, "testhost", got.Inputs[0].Host)
}
