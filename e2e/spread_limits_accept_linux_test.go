//go:build accept && linux

package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/credential"
	"github.com/ironpost/ironpost/internal/task"
	"github.com/ironpost/ironpost/internal/testenv"
)

// fleet is a hub and simulated hosts: real keys, certificates and TLS connections of every module, each
// with its status service, but no module behind them.
type fleet struct {
	*instance
	url   string
	store credential.Store
	conns map[string]*bus.Conn // by module and host
	hosts int
}

func fleetHost(n int) string { return fmt.Sprintf("host-%d", n) }

func (f *fleet) conn(module string, host int) *bus.Conn { return f.conns[module+"."+fleetHost(host)] }

// grow adds hosts until there are n.
func (f *fleet) grow(n int) {
	f.t.Helper()
	for host := f.hosts; host < n; host++ {
		require.NoError(f.t, f.store.AddHost(fleetHost(host), bus.ModuleNames(), f.path(fleetHost(host)), false, time.Now()))
	}
	before := strings.Count(f.log.String(), "configuration reloaded")
	require.NoError(f.t, f.daemon.Process.Signal(syscall.SIGHUP))
	f.eventually(func() bool { return strings.Count(f.log.String(), "configuration reloaded") > before })
	for ; f.hosts < n; f.hosts++ {
		for _, module := range bus.ModuleNames() {
			host := fleetHost(f.hosts)
			options, err := bus.FromBundle(f.path(host), module, host, f.url)
			require.NoError(f.t, err)
			var conn *bus.Conn
			f.eventually(func() bool { conn, err = bus.Connect(f.t.Context(), options); return err == nil })
			f.t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(f.t.Context())) })
			_, err = conn.Serve(f.t.Context(), bus.ServiceConfig{Module: module, Host: host, Version: "v0.0.0", Verbs: map[string]bus.Verb{
				"status": func(context.Context, []byte) (any, error) {
					return event.ModuleHealth{Name: module, Host: host, Enabled: true, Since: time.Now()}, nil
				},
			}})
			require.NoError(f.t, err)
			f.conns[module+"."+host] = conn
		}
	}
}

// memory returns the resident memory of the daemon in bytes.
func (f *fleet) memory() int {
	f.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", f.daemon.Process.Pid))
	require.NoError(f.t, err)
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	require.NoError(f.t, err)
	return n << 10
}

// busy returns the share of one CPU that the daemon takes over some seconds.
func (f *fleet) busy() float64 {
	f.t.Helper()
	const ticksPerSecond, span = 100, 10 * time.Second // USER_HZ
	ticks := func() float64 {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", f.daemon.Process.Pid))
		require.NoError(f.t, err)
		fields := bytes.Fields(text[bytes.LastIndexByte(text, ')'):])
		user, err := strconv.Atoi(string(fields[12])) // proc(5): utime is field 14, of which ) ends field 2
		require.NoError(f.t, err)
		system, err := strconv.Atoi(string(fields[13]))
		require.NoError(f.t, err)
		return float64(user + system)
	}
	before := ticks()
	time.Sleep(span)
	return (ticks() - before) / ticksPerSecond / span.Seconds()
}

// What one hub carries: hosts, alerts, and blocks times engines. docs/limits.md has the numbers.
func TestAcceptSpreadLimits(t *testing.T) {
	f := &fleet{instance: newInstance(t), conns: map[string]*bus.Conn{}}
	f.replace("[log_pipeline]", "[log_pipeline]\nenabled = false")
	address := testenv.FreeAddr(t)
	f.listenOn(address)
	f.url, f.store = "tls://"+address, credential.Store{PKI: f.path("data/pki"), Keys: f.path("data/keys")}
	f.start()
	t.Logf("%d CPUs of this machine are shared by the hub and the simulated hosts", runtime.NumCPU())
	empty := f.memory()
	most := setting(t, "IRONPOST_TEST_SPREAD_HOSTS", 200)
	for _, hosts := range []int{most / 4, most / 2, most} {
		f.grow(hosts)
		began := time.Now()
		_, _, code := f.command("--timeout", "60s", "status")
		status := time.Since(began)
		memory := f.memory()
		t.Logf("%d hosts, %d connections: hub %.1f MiB, %.0f KiB per host; idle %.1f %% of a CPU; status in %.2f s, exit code %d",
			hosts, hosts*len(bus.ModuleNames()), float64(memory)/(1<<20), float64(memory-empty)/1024/float64(hosts), 100*f.busy(), status.Seconds(), code)
	}
	f.measureSyncs()
	for _, publishers := range []int{1, 10, most} {
		for _, batch := range []int{1, 100} {
			f.measureAlerts(publishers, batch)
		}
	}
	alone, all := f.measureBlocks(1000, 1), f.measureBlocks(1000, most)
	t.Logf("%d engines together read %.1f times as many entries per second as one (bar 0.5)", most, all/alone)
	require.GreaterOrEqual(t, all, alone/2, "reading the blocklist collapses")
	f.measureBlocks(setting(t, "IRONPOST_TEST_SPREAD_BLOCKS", 10_000), most)
}

// measureSyncs says what the disk gives without a bus, to compare with in this run.
func (f *fleet) measureSyncs() {
	f.t.Helper()
	file, err := os.OpenFile(f.path("syncs"), os.O_CREATE|os.O_WRONLY|os.O_SYNC, 0o600)
	require.NoError(f.t, err)
	defer func() { _ = file.Close() }()
	record := make([]byte, 1200) // as an alert
	began, n := time.Now(), 0
	for ; time.Since(began) < 5*time.Second; n++ {
		_, err := file.Write(record)
		require.NoError(f.t, err)
	}
	f.t.Logf("the disk alone: %.0f synced writes/s of %d bytes", float64(n)/time.Since(began).Seconds(), len(record))
}

// measureAlerts publishes from some hosts at the same time.
func (f *fleet) measureAlerts(publishers, batch int) {
	f.t.Helper()
	const span = 10 * time.Second
	ctx, cancel := context.WithTimeout(f.t.Context(), span)
	defer cancel()
	var stored atomic.Int64
	group := task.New(ctx)
	began := time.Now()
	for host := range publishers {
		group.Go(fleetHost(host), func(ctx context.Context) error {
			alerts, err := f.conn(bus.LogPipeline, host).Publisher(bus.PublisherConfig{Stream: bus.Alerts, Module: bus.LogPipeline, Host: fleetHost(host)})
			if err != nil {
				return err
			}
			defer alerts.Close()
			for ctx.Err() == nil {
				recs := make([]event.Record, batch)
				for i := range recs {
					recs[i] = fleetAlert(host)
				}
				if alerts.Publish(ctx, recs...) == nil {
					stored.Add(int64(batch))
				}
			}
			return nil
		})
	}
	require.NoError(f.t, group.Wait())
	f.t.Logf("%d hosts, %d alerts at a time: %.0f alerts/s, each synced to the disk", publishers, batch, float64(stored.Load())/time.Since(began).Seconds())
}

var fleetAlerts atomic.Int64

func fleetAlert(host int) *event.Alert {
	n, now := int(fleetAlerts.Add(1)), time.Now().UTC()
	return &event.Alert{
		ID: fmt.Sprintf("fleet-%09d", n), Schema: event.Schema, TraceID: fmt.Sprintf("%032x", n), Time: now, FirstSeen: now, LastSeen: now, Count: 1,
		Module: bus.LogPipeline, Host: fleetHost(host), Severity: event.High, Title: "an alert of about the usual size", Description: strings.Repeat("d", 300),
		Rule: event.Rule{ID: "rule", Title: "rule", Level: event.High}, DedupKey: fmt.Sprint(n),
	}
}

// wait fails the test if group is not done within settleTime.
func (f *fleet) wait(group *sync.WaitGroup, what string) {
	f.t.Helper()
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }() // for ever, if the test fails
	select {
	case <-done:
	case <-time.After(settleTime):
		require.Fail(f.t, what)
	}
}

// measureBlocks has engines of all hosts watch a blocklist of entries, and adds one more. It returns how many
// entries per second the engines read together.
func (f *fleet) measureBlocks(entries, engines int) float64 {
	f.t.Helper()
	operator, err := bus.DialSocket(f.t.Context(), f.path("bus.sock"))
	require.NoError(f.t, err)
	defer func() { _ = operator.Close(context.WithoutCancel(f.t.Context())) }()
	blocks, err := operator.Blocklist(f.t.Context())
	require.NoError(f.t, err)
	put := func(n int) bus.Block {
		b := bus.Block{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18 + byte(n>>16), byte(n >> 8), byte(n)}), 32), Source: "operator",
			Reason: "measured", Created: time.Now().UTC(), Expires: time.Now().UTC().Add(time.Hour)}
		require.NoError(f.t, blocks.Put(f.t.Context(), b))
		return b
	}
	began := time.Now()
	for n := range entries {
		put(n)
	}
	written := time.Since(began)
	ctx, cancel := context.WithCancel(f.t.Context())
	group := task.New(ctx)
	var snapshots, changes sync.WaitGroup
	snapshots.Add(engines)
	changes.Add(engines)
	last := bus.BlockKey(netip.MustParsePrefix("198.51.100.7/32"))
	began = time.Now()
	for host := range engines {
		group.Go(fleetHost(host), func(ctx context.Context) error {
			kv, err := f.conn(bus.EBPFEngine, host).KV(ctx, bus.BlocklistBucket)
			if err != nil {
				return err
			}
			first, seen := sync.OnceFunc(snapshots.Done), sync.OnceFunc(changes.Done)
			return kv.Watch(ctx, func(e bus.KVEvent) {
				if e.Snapshot && len(e.Entries) >= entries {
					first()
				}
				if !e.Snapshot && e.Entry.Key == last {
					seen()
				}
			})
		})
	}
	f.wait(&snapshots, "not every engine has read the blocklist")
	reconciled := time.Since(began)
	began = time.Now()
	b := bus.Block{Prefix: netip.MustParsePrefix("198.51.100.7/32"), Source: "operator", Reason: "measured", Created: time.Now().UTC(), Expires: time.Now().UTC().Add(time.Hour)}
	require.NoError(f.t, blocks.Put(f.t.Context(), b))
	f.wait(&changes, "not every engine has got the last block")
	f.t.Logf("%d blocks, %d engines: %.0f blocks/s written; all engines joined at once have all blocks after %.1f s (%.0f entries/s); one more block is at all of them after %.2f s; hub %.1f MiB",
		entries, engines, float64(entries)/written.Seconds(), reconciled.Seconds(), float64(entries*engines)/reconciled.Seconds(), time.Since(began).Seconds(), float64(f.memory())/(1<<20))
	cancel()
	_ = group.Wait()
	require.NoError(f.t, blocks.Remove(f.t.Context(), b.Prefix))
	return float64(entries*engines) / reconciled.Seconds()
}
