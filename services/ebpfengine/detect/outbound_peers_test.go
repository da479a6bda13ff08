package detect_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bpf/traffic"
	"github.com/ironpost/ironpost/services/ebpfengine/detect"
)

// observe gives a detector as many windows of a second as make returns, and returns the detections.
func observe(n int, make func(i int) (traffic.Window, []traffic.Sample)) []detect.Detection {
	d := detect.New(detect.DefaultConfig())
	var found []detect.Detection
	for i := range n {
		w, samples := make(i)
		w.Interface, w.Egress, w.Sampling = "eth0", true, 1
		w.Start = start.Add(time.Duration(i) * time.Second)
		w.End = w.Start.Add(time.Second)
		d.Sample(samples)
		found = append(found, d.Observe(w)...)
	}
	return append(found, d.Close()...)
}

// sentUDP is a window in which this machine sent many datagrams to one port of the victim.
func sentUDP() traffic.Window {
	senders := make(traffic.Registers, 32)
	senders[7] = 1
	const n = 50_000
	return traffic.Window{Outgoing: []traffic.Outgoing{{
		Addr: victim, Bytes: n * 1400, UDP: n, Sender: at(home, 40_000), Proto: protoUDP, Port: 27_015, Senders: senders,
		TopPorts: []traffic.PortCount{{Port: 27_015, Packets: n}},
	}}}
}

// answeredUDP is the outcome of a try of the port of sentUDP.
func answeredUDP(at time.Time) []traffic.Sample {
	return []traffic.Sample{{
		Time: at, Source: netip.AddrPortFrom(home, 40_000), Target: netip.AddrPortFrom(victim, 27_015), Proto: protoUDP, Class: traffic.UDP,
		Outbound: true, Outcome: traffic.Answered,
	}}
}

// An answer makes UDP to the port no flood for a while, and for longer only if others follow: else one answer before a flood, or a few of
// another port of the target, would hide it.
func TestOneAnswerHidesNoFlood(t *testing.T) {
	t.Parallel()
	const minutes, flood = 12, "udp_flood/ 198.51.100.5 > 203.0.113.80:27015"
	play := func(tries, answers int, solicited bool) []detect.Detection {
		return observe(minutes*60, func(i int) (traffic.Window, []traffic.Sample) {
			w := sentUDP()
			if answers > 0 && i%answers == 0 {
				src := traffic.Source{Addr: victim, Packets: 20, First: start, Last: start}
				if src.ByClass[traffic.UDP] = 20; solicited {
					src.Replies = 20
				}
				w.Sources = []traffic.Source{src}
			}
			if i%tries == 0 {
				return w, answeredUDP(start.Add(time.Duration(i) * time.Second))
			}
			return w, nil
		})
	}
	const once, often = minutes * 60, 120 // seconds
	for name, c := range map[string]struct {
		found []detect.Detection
		began float64
	}{
		"one answer":                                 {play(once, 0, false), 20},
		"then datagrams that no one asked for":       {play(once, 15, false), 20},
		"then answers of another port of the target": {play(once, 15, true), 180},
		"an answer for six million":                  {play(often, 0, false), 20},
	} {
		require.Equal(t, []string{flood}, summaries(c.found), name)
		require.InDelta(t, c.began, c.found[0].Time.Sub(start).Seconds(), 5, name)
	}
	require.Empty(t, play(often, 15, true), "a receiver that answers four times a minute")
}

// Of outgoing packets only those that open conversations are counted: RST of the other end, and connections without data, are no flood of this machine.
func TestOnlyOpeningPacketsAreAnOutboundFlood(t *testing.T) {
	t.Parallel()
	found := observe(10, func(int) (traffic.Window, []traffic.Sample) {
		const n = 20_000
		src := traffic.Source{Addr: victim, Packets: 3 * n, First: start, Last: start}
		src.ByClass[traffic.TCPRST], src.ByClass[traffic.TCPSYNACK] = 2*n, n
		w := sentUDP()
		out := &w.Outgoing[0]
		out.UDP, out.SYN, out.Completed, out.Proto, out.Port = 0, n, n, protoTCP, 80
		out.TopPorts = []traffic.PortCount{{Port: 80, Packets: n}}
		w.Sources = []traffic.Source{src}
		return w, nil
	})
	require.Empty(t, found)
}
