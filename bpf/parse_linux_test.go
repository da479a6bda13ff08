package bpf_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/bpf/model"
	"github.com/ironpost/ironpost/bpf/traffic"
	"github.com/ironpost/ironpost/internal/testenv"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// usable lets a test go on where this machine may run programs at all, and fails it where that is not why they did not load.
func usable(t testing.TB, what string, err error) {
	t.Helper()
	if errors.Is(err, os.ErrPermission) || errors.Is(err, bpf.ErrUnsupported) || errors.Is(err, bpf.ErrNoEgress) {
		testenv.Require(t, what, err)
	}
	require.NoError(t, err)
}

// replay loads the program for replay, with a filter of its own.
func replay(t testing.TB) (*bpf.Engine, *bpf.Filter) {
	t.Helper()
	f, err := bpf.OpenFilter(bpf.FilterOptions{Replay: true})
	usable(t, "bpf", err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	e, err := bpf.Load(bpf.Options{Interface: "replay0", Filter: f, Replay: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e, f
}

// agree runs a frame through the program and the model, and returns what both found.
func agree(t testing.TB, e *bpf.Engine, frame []byte, lenient bool) model.Packet {
	t.Helper()
	verdict, err := e.Run(frame, start)
	require.NoError(t, err)
	require.Equal(t, bpf.Pass, verdict)
	got, err := e.LastParsed()
	require.NoError(t, err)
	want := usableParts(model.Parse(frame, lenient))
	if got != want {
		require.Equal(t, want, got, "% x", frame)
	}
	return want
}

// usableParts leaves out what is not to be used after the outcome; that no port was read must hold all the same.
func usableParts(p model.Packet) model.Packet {
	switch p.Outcome {
	case model.NotIP:
		return model.Packet{Outcome: p.Outcome, Class: p.Class, VLAN: p.VLAN, Bytes: p.Bytes}
	case model.Malformed:
		return model.Packet{Outcome: p.Outcome, Reason: p.Reason, Source: p.Source}
	default:
		return p
	}
}

func TestFlagClasses(t *testing.T) {
	t.Parallel()
	e, _ := replay(t)
	for flags, want := range map[byte]traffic.Class{
		0x02: traffic.TCPSYN, 0xc2: traffic.TCPSYN, 0x12: traffic.TCPSYNACK, 0x52: traffic.TCPSYNACK, 0x01: traffic.TCPFIN,
		0x00: traffic.TCPNull, 0xc0: traffic.TCPNull, 0x29: traffic.TCPXmas, 0x21: traffic.TCPXmas, 0x10: traffic.TCPACK,
		0x18: traffic.TCPACK, 0x11: traffic.TCPFINACK, 0x04: traffic.TCPRST, 0x14: traffic.TCPRST, 0x03: traffic.TCPOther,
		0x06: traffic.TCPOther, 0x3f: traffic.TCPOther, 0x08: traffic.TCPOther, 0x20: traffic.TCPOther,
	} {
		require.Equal(t, want, agree(t, e, tcpFrame(flags), true).Class, "flags %#x", flags)
	}
	for flags := range 256 {
		agree(t, e, tcpFrame(byte(flags)), true)
	}
}

func TestKindsOfFrames(t *testing.T) {
	t.Parallel()
	e, _ := replay(t)
	for name, k := range kinds() {
		got := agree(t, e, k.frame, true)
		require.Equal(t, model.Parsed, got.Outcome, name)
		require.Equal(t, k.class, got.Class, name)
		require.Equal(t, k.port, got.TargetPort, name)
		require.Equal(t, k.vlan, got.VLAN, name)
		require.Equal(t, k.fragment, got.Fragment, name)
	}
}

// Every header cut at every byte passes, and no port is read; whether the cut is the sender's or the capture's.
func TestCutFramesPassUnread(t *testing.T) {
	t.Parallel()
	capture, _ := replay(t)
	f := newFilter(t, 0)
	live := program(t, f, bpf.Options{})
	for name, k := range kinds() {
		for n := 14; n < len(k.frame)-k.payload; n++ {
			got := agree(t, capture, k.frame[:n], true)
			require.Equal(t, model.Malformed, got.Outcome, "%s cut at %d", name, n)
			verdict, err := live.Run(k.frame[:n], start)
			require.NoError(t, err)
			require.Equal(t, bpf.Pass, verdict, "%s cut at %d", name, n)
		}
		for n := range 14 {
			require.Equal(t, traffic.ShortEthernet, model.Parse(k.frame[:n], false).Reason)
		}
	}
	w, err := live.Collect(time.Now())
	require.NoError(t, err)
	require.Zero(t, sumClasses(w), "nothing cut is counted as parsed")
	require.Empty(t, w.Targets)
	require.NotZero(t, w.Totals.Malformed[traffic.CutIP])
}

func sumClasses(w traffic.Window) (n uint64) {
	for _, c := range w.Totals.ByClass {
		n += c.Packets
	}
	return n
}

func TestMalformedIsCountedByReason(t *testing.T) {
	t.Parallel()
	e, _ := replay(t)
	for reason, frame := range malformed() {
		got := agree(t, e, frame, true)
		require.Equal(t, model.Malformed, got.Outcome, reason.String())
		require.Equal(t, reason.String(), got.Reason.String())
	}
	w, err := e.Collect(start)
	require.NoError(t, err)
	for reason := range malformed() {
		require.EqualValues(t, 1, w.Totals.Malformed[reason], reason.String())
	}
	require.EqualValues(t, len(malformed()), w.Totals.Packets)
}

// The kernel's parser and the model agree. IRONPOST_FUZZ_PACKETS says over how many frames (200,000).
func TestParserAgreesWithTheModel(t *testing.T) {
	t.Parallel()
	e, _ := replay(t)
	packets := 200_000
	if n, err := strconv.Atoi(os.Getenv("IRONPOST_FUZZ_PACKETS")); err == nil {
		packets = n
	}
	seed := uint64(time.Now().UnixNano())
	g := generator{rand.New(rand.NewPCG(seed, 0))}
	outcomes := map[string]int{}
	for range packets {
		got := agree(t, e, g.frame(), true)
		outcomes[fmt.Sprint(got.Outcome, "/", got.Class, "/", got.Reason)]++
	}
	t.Logf("seed %d: %d frames agree, %d kinds of outcome", seed, packets, len(outcomes))
	require.Greater(t, len(outcomes), 20, "the frames are worth it: %v", outcomes)
}

func FuzzParse(f *testing.F) {
	for _, k := range kinds() {
		f.Add(k.frame)
	}
	for _, frame := range malformed() {
		f.Add(frame)
	}
	e, _ := replay(f)
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) < 14 || len(frame) > 3000 {
			return // the kernel runs programs on no shorter and no longer ones
		}
		agree(t, e, frame, true)
	})
}
