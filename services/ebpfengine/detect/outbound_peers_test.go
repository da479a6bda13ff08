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

// An answer makes UDP to the port no flood for minutes, and for longer only if others follow: else one answer before a flood would hide it.
func TestOneAnswerHidesNoFlood(t *testing.T) {
	t.Parallel()
	const minutes = 12
	play := func(answers int) []detect.Detection {
		return observe(minutes*60, func(i int) (traffic.Window, []traffic.Sample) {
			w := sentUDP()
			if i == 0 {
				return w, []traffic.Sample{{
					Time: start, Source: at(home, 40_000), Target: netip.AddrPortFrom(victim, 27_015), Proto: protoUDP, Class: traffic.UDP,
					Outbound: true, Outcome: traffic.Answered,
				}}
			}
			if answers > 0 && i%answers == 0 {
				src := traffic.Source{Addr: victim, Packets: 20, Replies: 20, First: start, Last: start}
				src.ByClass[traffic.UDP] = 20
				w.Sources = []traffic.Source{src}
			}
			return w, nil
		})
	}
	found := play(0)
	require.Equal(t, []string{"udp_flood/ 198.51.100.5 > 203.0.113.80:27015"}, summaries(found))
	require.InDelta(t, 180, found[0].Time.Sub(start).Seconds(), 5)
	require.Empty(t, play(60), "a receiver that answers once a minute")
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
