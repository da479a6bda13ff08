package capture_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/ebpfengine/capture"
)

var epoch = time.Unix(1_700_000_000, 0).UTC()

// packet is one packet of a test file; its first byte is its number.
type packet struct {
	at   time.Duration
	data []byte
	wire int
}

func pcap(t testing.TB, link layers.LinkType, packets ...packet) []byte {
	t.Helper()
	var b bytes.Buffer
	w := pcapgo.NewWriter(&b)
	require.NoError(t, w.WriteFileHeader(65535, link))
	for _, p := range packets {
		require.NoError(t, w.WritePacket(gopacket.CaptureInfo{
			Timestamp: epoch.Add(p.at), CaptureLength: len(p.data), Length: max(p.wire, len(p.data)),
		}, p.data))
	}
	return b.Bytes()
}

func all(t testing.TB, file []byte) ([]capture.Frame, capture.Stats) {
	t.Helper()
	r, err := capture.NewReader(bytes.NewReader(file))
	require.NoError(t, err)
	var frames []capture.Frame
	for {
		f, err := r.Next()
		if errors.Is(err, io.EOF) {
			return frames, r.Stats()
		}
		require.NoError(t, err)
		frames = append(frames, f)
	}
}

func frame(n byte) []byte { return append([]byte{n}, make([]byte, 59)...) }

func TestFramesAreSortedByTime(t *testing.T) {
	t.Parallel()
	var packets []packet
	for i, at := range rand.New(rand.NewPCG(1, 1)).Perm(200) {
		packets = append(packets, packet{at: time.Duration(at) * time.Hour, data: frame(byte(i))})
	}
	frames, stats := all(t, pcap(t, layers.LinkTypeEthernet, packets...))
	require.Len(t, frames, 200)
	for i, f := range frames {
		require.Equal(t, epoch.Add(time.Duration(i)*time.Hour), f.At)
		require.Equal(t, packets[f.Data[0]].at, f.At.Sub(epoch), "the frame kept its time")
	}
	require.Zero(t, stats.ClockJumps)
	require.Positive(t, stats.Reordered)
}

func TestFramesOfSameTimeKeepOrder(t *testing.T) {
	t.Parallel()
	frames, _ := all(t, pcap(t, layers.LinkTypeEthernet, packet{data: frame(1)}, packet{data: frame(2)}, packet{data: frame(3)}))
	for i, f := range frames {
		require.Equal(t, byte(i+1), f.Data[0])
	}
}

// When the clock is set back too far to sort the frames, time goes on from where it was, and
// later frames keep their distances.
func TestTimeGoesOnAfterClockIsSetBack(t *testing.T) {
	t.Parallel()
	var packets []packet
	for i := range 70_000 {
		packets = append(packets, packet{at: time.Duration(i) * time.Millisecond, data: frame(0)})
	}
	for i := range 70_000 {
		packets = append(packets, packet{at: -24*time.Hour + time.Duration(i)*time.Millisecond, data: frame(1)})
	}
	frames, stats := all(t, pcap(t, layers.LinkTypeEthernet, packets...))
	require.Len(t, frames, 140_000)
	for i := 1; i < len(frames); i++ {
		require.False(t, frames[i].At.Before(frames[i-1].At))
	}
	require.EqualValues(t, 1, stats.ClockJumps)
	span := frames[len(frames)-1].At.Sub(frames[0].At)
	require.Less(t, span, 25*time.Hour)
}

func TestLinkTypesBecomeEthernet(t *testing.T) {
	t.Parallel()
	ip4 := append([]byte{0x45}, make([]byte, 39)...)
	ip6 := append([]byte{0x60}, make([]byte, 59)...)
	sll := append(append(make([]byte, 14), 0x08, 0x00), ip4...)
	sll2 := append(append([]byte{0x86, 0xdd}, make([]byte, 18)...), ip6...)
	for name, c := range map[string]struct {
		link layers.LinkType
		data []byte
		want uint16
		ip   []byte
	}{
		"raw v4": {layers.LinkTypeRaw, ip4, 0x0800, ip4},
		"raw v6": {layers.LinkTypeRaw, ip6, 0x86dd, ip6},
		"null":   {layers.LinkTypeNull, append([]byte{2, 0, 0, 0}, ip4...), 0x0800, ip4},
		"sll":    {layers.LinkTypeLinuxSLL, sll, 0x0800, ip4},
		"sll2":   {layers.LinkTypeLinuxSLL2, sll2, 0x86dd, ip6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			frames, stats := all(t, pcap(t, c.link, packet{data: c.data}))
			require.Len(t, frames, 1)
			require.Zero(t, stats.Unsupported)
			require.Equal(t, c.want, binary.BigEndian.Uint16(frames[0].Data[12:]))
			require.Equal(t, c.ip, frames[0].Data[14:])
			require.Equal(t, 14+len(c.ip), frames[0].Length)
		})
	}
	_, stats := all(t, pcap(t, layers.LinkTypeIEEE802_11, packet{data: frame(1)}))
	require.EqualValues(t, 1, stats.Unsupported)
}

// Cut frames are padded with zeros only if they have all headers: zeros in place of TCP
// flags would be a NULL scan.
func TestCutFramesArePaddedAfterHeaders(t *testing.T) {
	t.Parallel()
	long := bytes.Repeat([]byte{7}, 200)
	frames, _ := all(t, pcap(t, layers.LinkTypeEthernet,
		packet{data: long, wire: 1514}, packet{data: frame(1), wire: 1514}, packet{data: bytes.Repeat([]byte{7}, 9000)}))
	require.Len(t, frames[0].Data, 1514)
	require.Equal(t, long, frames[0].Data[:200])
	require.Len(t, frames[1].Data, 60)
	require.Len(t, frames[2].Data, capture.MaxFrame)
	require.Equal(t, 9000, frames[2].Length)
}

func TestDamagedEndIsReported(t *testing.T) {
	t.Parallel()
	file := pcap(t, layers.LinkTypeEthernet, packet{data: frame(1)}, packet{data: frame(2)})
	frames, stats := all(t, file[:len(file)-5])
	require.Len(t, frames, 1)
	require.NotEmpty(t, stats.Truncated)
	_, stats = all(t, file)
	require.Empty(t, stats.Truncated)
}

func TestPcapNG(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriter(&b, layers.LinkTypeEthernet)
	require.NoError(t, err)
	second, err := w.AddInterface(pcapgo.NgInterface{Name: "tun0", LinkType: layers.LinkTypeRaw, SnapLength: 65535})
	require.NoError(t, err)
	ip4 := append([]byte{0x45}, make([]byte, 39)...)
	for i, data := range [][]byte{frame(9), ip4} {
		require.NoError(t, w.WritePacket(gopacket.CaptureInfo{
			Timestamp: epoch.Add(time.Duration(i)), CaptureLength: len(data), Length: len(data), InterfaceIndex: i * second,
		}, data))
	}
	require.NoError(t, w.Flush())
	frames, stats := all(t, b.Bytes())
	require.Len(t, frames, 2)
	require.Empty(t, stats.Truncated)
	require.Equal(t, frame(9), frames[0].Data)
	require.Equal(t, ip4, frames[1].Data[14:])
	require.Equal(t, epoch, frames[0].At)
}

// The data between packets of a pcapng file is bounded, because its reader keeps it.
func TestReadingEndsAtTooManyInterfaces(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriter(&b, layers.LinkTypeEthernet)
	require.NoError(t, err)
	require.NoError(t, w.Flush())
	block := []byte{1, 0, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0}
	file := append(bytes.Clone(b.Bytes()), bytes.Repeat(block, 1<<20)...)
	_, stats := all(t, file)
	require.Contains(t, stats.Truncated, "too much")

	many := append(bytes.Clone(b.Bytes()), bytes.Repeat(block, 5000)...)
	packet := append([]byte{6, 0, 0, 0, 92, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 60, 0, 0, 0, 60, 0, 0, 0}, frame(1)...)
	frames, stats := all(t, append(many, append(packet, 92, 0, 0, 0)...))
	require.Empty(t, frames)
	require.Contains(t, stats.Truncated, "too much")
}

func TestOtherFilesAreErrFormat(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "x", "Mar 14 15:09:26 web-1 sshd[811]: x", "\xd4\xc3\xb2\xa1"} {
		_, err := capture.NewReader(bytes.NewReader([]byte(text)))
		require.ErrorIs(t, err, capture.ErrFormat, "%q", text)
	}
}

func TestRealCapturesAreReadToTheirEnd(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int{
		"445_scan.pcap": 21, "port_scan.pcap": 10, "reflection_synack.pcap": 8000,
		"syn_flood_200.pcap": 200, "syn_retransmit.pcap": 254, "backscatter.trace": 4771,
	} {
		file, err := os.ReadFile(testenv.Data(t, "pcap/"+name))
		require.NoError(t, err)
		frames, stats := all(t, file)
		require.Len(t, frames, want, name)
		require.Empty(t, stats.Truncated, name)
		require.Zero(t, stats.ClockJumps, name)
	}
}

// FuzzReader checks that reading any file ends, in bounded memory, with times that never decrease.
func FuzzReader(f *testing.F) {
	f.Add(pcap(f, layers.LinkTypeEthernet, packet{data: frame(1)}, packet{at: -time.Hour, data: frame(2)}))
	f.Add(pcap(f, layers.LinkTypeRaw, packet{data: []byte{0x45, 0}}))
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriter(&b, layers.LinkTypeEthernet)
	require.NoError(f, err)
	require.NoError(f, w.WritePacket(gopacket.CaptureInfo{Timestamp: epoch, CaptureLength: 60, Length: 60}, frame(1)))
	require.NoError(f, w.Flush())
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := capture.NewReader(bytes.NewReader(file))
		if err != nil {
			require.ErrorIs(t, err, capture.ErrFormat)
			return
		}
		var last time.Time
		for n := 0; ; n++ {
			frame, err := r.Next()
			if err != nil {
				require.ErrorIs(t, err, io.EOF)
				require.EqualValues(t, n, r.Stats().Frames)
				return
			}
			require.LessOrEqual(t, n, len(file), "more frames than bytes")
			require.LessOrEqual(t, len(frame.Data), capture.MaxFrame)
			if n > 0 {
				require.False(t, frame.At.Before(last))
			}
			last = frame.At
		}
	})
}

// A pcap file of an unknown minor version is read as one of the known, and said to be so.
func TestUnknownMinorVersionIsRead(t *testing.T) {
	t.Parallel()
	for _, minor := range []byte{0, 3, 5, 9} {
		file := pcap(t, layers.LinkTypeEthernet, packet{data: frame(7)})
		file[6] = minor
		frames, stats := all(t, file)
		require.Len(t, frames, 1)
		require.Equal(t, fmt.Sprintf("2.%d", minor), stats.Version)
		require.Empty(t, stats.Truncated)
	}
	_, stats := all(t, pcap(t, layers.LinkTypeEthernet, packet{data: frame(7)}))
	require.Empty(t, stats.Version)
}
