//go:build accept

package bpf_test

import (
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bpf"
)

const (
	costRounds  = 20
	costPackets = 100_000
)

// costCase is a kind of packet, with the program and xdp-filter set up for it.
type costCase struct {
	name   string
	frame  []byte
	allow  []string // none is in the frame
	block  []string
	listed string // what xdp-filter drops; empty: nothing that is in the frame
	bar    float64
}

// TestCostBesideXDPFilter measures the time per packet, net of a program that only drops, beside Debian's xdp-filter: medians of 20
// interleaved runs.
func TestCostBesideXDPFilter(t *testing.T) {
	protected := []string{"127.0.0.0/8", "169.254.0.0/16", "192.0.2.1/32", "::1/128", "fe80::/10", "2001:db8::2/128"}
	for _, c := range []costCase{
		{name: "pass, IPv4 UDP", frame: udpFrame(), bar: 1.05},
		{name: "pass, IPv4 SYN", frame: synFrame(), bar: 1.05},
		{name: "pass, IPv6, protected peers", frame: synFrame6(), allow: protected, block: []string{"203.0.113.7/32", "2001:db8:7::/64"}, bar: 1.3},
		{name: "drop, IPv4 /32", frame: synFrame(), allow: protected, block: []string{"10.0.0.1/32"}, listed: "10.0.0.1", bar: 1},
		{name: "drop, IPv6 /64", frame: synFrame6(), allow: protected, block: []string{"2001:db8::/64"}, listed: "2001:db8::1", bar: 1.3},
	} {
		t.Run(c.name, func(t *testing.T) { measureCost(t, c) })
	}
}

func measureCost(t *testing.T, c costCase) {
	f := newFilter(t, 0)
	require.NoError(t, f.Allow(prefixes(c.allow...)))
	var entries []bpf.Entry
	for _, p := range c.block {
		entries = append(entries, bpf.Entry{Prefix: netip.MustParsePrefix(p), Expires: time.Now().Add(time.Hour)})
	}
	require.NoError(t, f.Block(entries))
	other := xdpFilter(t)
	if c.listed != "" {
		other.deny(t, netip.MustParseAddr(c.listed))
	}
	names := []string{"bare drop", "xdp-filter", "whole"}
	programs := []*ebpf.Program{bareDrop(t), other.program, program(t, f, bpf.Options{}).XDP()}
	steps := []struct {
		name string
		step uint32
	}{{"parse", 1}, {"lists", 2}, {"targets", 3}}
	for _, s := range steps {
		names = append(names, "to "+s.name)
		programs = append(programs, program(t, f, bpf.Options{}.LastStep(s.step)).XDP())
	}
	medians, ratio := medianTimes(t, c.frame, programs)
	for i, name := range names {
		t.Logf("%-10s %5.1f ns, net of bare %5.1f ns", name, medians[i], medians[i]-medians[0])
	}
	t.Logf("%s: %.2f x xdp-filter, net of bare (bar %.2f)", c.name, ratio, c.bar)
	require.LessOrEqual(t, ratio, c.bar)
}

// medianTimes returns the median time of each program in nanoseconds per packet, and the median ratio of the third to the second, both
// net of the first.
func medianTimes(t *testing.T, frame []byte, programs []*ebpf.Program) (medians []float64, ratio float64) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	times := make([][]float64, len(programs))
	var ratios []float64
	for range costRounds {
		for i, p := range programs {
			began := threadTime(t)
			_, err := p.Run(&ebpf.RunOptions{Data: frame, Repeat: costPackets})
			require.NoError(t, err)
			times[i] = append(times[i], float64(threadTime(t)-began)/costPackets)
		}
		last := len(times[0]) - 1
		ratios = append(ratios, (times[2][last]-times[0][last])/(times[1][last]-times[0][last]))
	}
	for _, of := range times {
		medians = append(medians, median(of))
	}
	return medians, median(ratios)
}

func median(all []float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}
