package replay_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/ebpfengine/attach"
	"github.com/ironpost/ironpost/services/ebpfengine/detect"
	"github.com/ironpost/ironpost/services/ebpfengine/detect/detecttest"
)

// vethPair makes a pair of interfaces: packets sent on the first arrive at the second.
func vethPair(t testing.TB, n int) (in, out string) {
	t.Helper()
	testenv.Require(t, "netns", testenv.InOwnNetwork())
	in, out = fmt.Sprintf("wi%d", n), fmt.Sprintf("wo%d", n)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = in
	require.NoError(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: out}))
	for _, name := range []string{in, out} {
		link, err := netlink.LinkByName(name)
		require.NoError(t, err)
		require.NoError(t, netlink.LinkSetUp(link))
	}
	t.Cleanup(func() {
		link, err := netlink.LinkByName(in)
		require.NoError(t, err)
		require.NoError(t, netlink.LinkDel(link))
	})
	return in, out
}

// live runs the program and the detectors on an interface, as the engine does.
type live struct {
	engine   *bpf.Engine
	detector *detect.Detector
	found    []detect.Detection
	packets  uint64
	late     error // the machine was too busy
}

func watch(t testing.TB, name string) *live {
	t.Helper()
	filter, err := bpf.OpenFilter(bpf.FilterOptions{MaxEntries: 1})
	require.NoError(t, err)
	engine, err := bpf.Load(bpf.Options{Interface: name, Filter: filter})
	require.NoError(t, err)
	on, missing, err := attach.Find([]string{name})
	require.NoError(t, err)
	require.Empty(t, missing)
	link, err := attach.Pins{}.XDP(on[0], attach.AnyMode, engine.XDP())
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, link.Close())
		require.NoError(t, engine.Close())
		require.NoError(t, filter.Close())
	})
	return &live{engine: engine, detector: detect.New(detect.DefaultConfig())}
}

// window ends a window.
func (l *live) window(t testing.TB, now time.Time) {
	t.Helper()
	samples, err := l.engine.Drain()
	require.NoError(t, err)
	l.detector.Sample(samples)
	w, err := l.engine.Collect(now)
	require.NoError(t, err)
	l.packets += w.Totals.Packets
	if long := w.End.Sub(w.Start); long > 2*time.Second {
		l.late = fmt.Errorf("a window of %v", long)
	}
	l.found = append(l.found, l.detector.Observe(w)...)
}

// during runs until sent is closed, and two more seconds.
func (l *live) during(ctx context.Context, t testing.TB, sent <-chan error) {
	t.Helper()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for after := 0; after < 2; {
		select {
		case now := <-tick.C:
			l.window(t, now)
			if sent == nil {
				after++
			}
		case err := <-sent:
			require.NoError(t, err)
			sent = nil
		case <-ctx.Done():
			require.NoError(t, ctx.Err())
		}
	}
	l.found = append(l.found, l.detector.Close()...)
}

// attacks lists each attack once.
func attacks(found []detect.Detection) []detecttest.Attack {
	set := map[string]detecttest.Attack{}
	for _, f := range found {
		a := detecttest.Of(f)
		set[fmt.Sprint(a)] = a
	}
	var out []detecttest.Attack
	for _, key := range slices.Sorted(maps.Keys(set)) {
		out = append(out, set[key])
	}
	return out
}

// The attacks in a capture are found on a live interface, too. A busy machine cannot keep the
// capture's pace: then the test tries again.
func TestLiveFindsSameAttacksAsReplay(t *testing.T) {
	t.Parallel()
	requireRoot(t)
	_, err := exec.LookPath("tcpreplay")
	testenv.Require(t, "tcpreplay", err)
	const attempts = 5
	for i, name := range []string{"port_scan.pcap", "syn_flood_200.pcap", "reflection_synack.pcap", "syn_retransmit.pcap"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := testenv.Data(t, "pcap/"+name)
			want, sum := play(t, name)
			for n := range attempts {
				l := sendLive(t, path, i*attempts+n, sum.Last.Sub(sum.First))
				require.Positive(t, l.packets) // not all: some exceed the MTU
				if l.late == nil || slices.Equal(attacks(want), attacks(l.found)) {
					require.Equal(t, attacks(want), attacks(l.found))
					return
				}
				t.Log(l.late)
			}
			testenv.Require(t, "an idle CPU", errors.New("too busy to keep the capture's time"))
		})
	}
}

// sendLive sends a capture within a duration to an interface that is watched.
func sendLive(t testing.TB, path string, n int, lasting time.Duration) *live {
	t.Helper()
	const patience, slack = 2 * time.Minute, time.Second
	in, out := vethPair(t, n)
	l := watch(t, out)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	sent, took := make(chan error, 1), time.Duration(0)
	go func() {
		began := time.Now()
		text, err := exec.CommandContext(ctx, "tcpreplay", "-q", "-i", in, path).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, text)
		}
		took = time.Since(began)
		sent <- err
	}()
	l.during(ctx, t, sent)
	if took > lasting+slack {
		l.late = fmt.Errorf("sent in %v instead of %v", took, lasting)
	}
	return l
}
