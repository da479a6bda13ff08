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

// usable skips a test where this machine cannot run programs at all, and fails it for any other error.
func usable(t testing.TB, what string, err error) {
	t.Helper()
	if errors.Is(err, os.ErrPermission) || errors.Is(err, bpf.ErrUnsupported) || errors.Is(err, bpf.ErrNoEgress) {
		testenv.Require(t, what, err)
	}
	require.NoError(t, err)
}

// replay loads the program for replay with an empty filter.
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

// agree requires the same result from the program's parser and from the model, and returns it.
func agree(t testing.TB, e *bpf.Engine, frame []byte, lenient bool) model.Packet {
	t.Helper()
	verdict, err := e.Run(frame, start)
	require.NoError(t, err)
	require.Equal(t, bpf.Pass, verdict)
	got, err := e.LastParsed()
	require.NoError(t, err)
	want := definedFields(model.Parse(frame, lenient))
	if got != want {
		require.Equal(t, want, got, "% x", frame)
	}
	return want
}

// definedFields leaves out the fields that are not defined for the outcome. Ports stay: none may be read from a malformed packet.
func definedFields(p model.Packet) model.Packet {
	switch p.Outcome {
	case model.NotIP:
		return model.Packet{Outcome: p.Outcome, Class: p.Class, VLAN: p.VLAN, Bytes: p.Bytes}
	case model.Malformed:
		return model.Packet{Outcome: p.Outcome, Reason: p.Reason, Source: p.Source}
	default:
		return p
	}
}

func TestTCPFlagsGiveTheClass(t *testing.T) {
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

func TestEveryKindOfFrameIsParsed(t *testing.T) {
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

// A frame that is cut within any header passes and no port is read, in a capture and in live traffic.
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
	require.Zero(t, sumClasses(w), "no cut frame is counted as parsed")
	require.Empty(t, w.Targets)
	require.NotZero(t, w.Totals.Malformed[traffic.CutIP])
}

func sumClasses(w traffic.Window) (n uint64) {
	for _, c := range w.Totals.ByClass {
		n += c
	}
	return n
}

func TestMalformedPacketsAreCountedByReason(t *testing.T) {
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

// The program's parser and the model agree on random frames: IRONPOST_TEST_FUZZ_PACKETS of them, or 200,000.
func TestParserAgreesWithTheModel(t *testing.T) {
	t.Parallel()
	e, _ := replay(t)
	packets := 200_000
	if n, err := strconv.Atoi(os.Getenv("IRONPOST_TEST_FUZZ_PACKETS")); err == nil {
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
	require.Greater(t, len(outcomes), 20, "the frames must be diverse: %v", outcomes)
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
			return // the kernel does not run programs on shorter or longer frames
		}
		agree(t, e, frame, true)
	})
}
