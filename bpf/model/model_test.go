package model_test

import (
	"encoding/hex"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bpf/model"
	"github.com/ironpost/ironpost/bpf/traffic"
)

// syn is a SYN with ECE and CWR in VLAN 7, in hex.
const syn = "020000000001020000000002" + "81000007" + "0800" +
	"4500002800004000400600000a000001c0000201" + "9c4001bb000000000000000050c2ffff00000000"

func TestSYNIsParsed(t *testing.T) {
	t.Parallel()
	frame, err := hex.DecodeString(syn)
	require.NoError(t, err)
	require.Equal(t, model.Packet{
		Source: netip.MustParseAddr("10.0.0.1"), Target: netip.MustParseAddr("192.0.2.1"), SourcePort: 40000, TargetPort: 443,
		VLAN: 7, Proto: 6, Flags: 0xc2, Class: traffic.TCPSYN, Bytes: 58,
	}, model.Parse(frame, false))
}

func TestCutFramesAreMalformedInLiveTrafficOnly(t *testing.T) {
	t.Parallel()
	frame, err := hex.DecodeString(syn)
	require.NoError(t, err)
	frame[21]++ // one byte more than there is
	require.Equal(t, traffic.CutIP, model.Parse(frame, false).Reason)
	require.Equal(t, model.Parsed, model.Parse(frame, true).Outcome)
}

// Parsing any frame ends without reading beyond it, and gives consistent fields.
func FuzzParse(f *testing.F) {
	frame, err := hex.DecodeString(syn)
	require.NoError(f, err)
	f.Add(frame, true)
	f.Fuzz(func(t *testing.T, frame []byte, lenient bool) {
		p := model.Parse(frame, lenient)
		if p.Outcome != model.Parsed {
			return
		}
		require.True(t, p.Source.IsValid() && p.Target.IsValid())
		if p.Class == traffic.Fragment {
			require.True(t, p.Fragment)
		}
		if p.Tiny {
			require.Equal(t, traffic.Fragment, p.Class)
		}
	})
}
