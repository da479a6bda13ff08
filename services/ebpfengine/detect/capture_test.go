package detect_test

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bpf/model"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/ebpfengine/capture"
	"github.com/ironpost/ironpost/services/ebpfengine/detect"
	"github.com/ironpost/ironpost/services/ebpfengine/detect/detecttest"
)

// playAt plays a capture as host sees it: what it sends leaves, all else comes in.
func playAt(t testing.TB, path string, host netip.Addr, sees view) []detect.Detection {
	t.Helper()
	s := newSensor(t, detect.DefaultConfig(), sees)
	eachFrame(t, path, func(f capture.Frame) {
		s.until(f.At)
		const shortest = 14
		if len(f.Data) < shortest {
			return
		}
		s.wake()
		if leaves := model.Parse(f.Data, true).Source == host; !leaves {
			_, err := s.engine.Run(f.Data, f.At)
			require.NoError(t, err)
		} else if sees == withEgress {
			_ = s.engine.RunEgress(f.Data, f.At) // the kernel takes no frame here that is cut within the IP header
		}
	})
	return s.finish()
}

func eachFrame(t testing.TB, path string, fn func(capture.Frame)) {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	r, err := capture.NewReader(file)
	require.NoError(t, err)
	for {
		f, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
		fn(f)
	}
}

// busiest returns the address that most frames of a capture come from or go to.
func busiest(t testing.TB, path string) (host netip.Addr) {
	t.Helper()
	frames := map[netip.Addr]int{}
	eachFrame(t, path, func(f capture.Frame) {
		p := model.Parse(f.Data, true)
		for _, addr := range []netip.Addr{p.Source, p.Target} {
			frames[addr]++
			if addr.IsValid() && !addr.IsMulticast() && frames[addr] > frames[host] {
				host = addr
			}
		}
	})
	return host
}

// In real captures every attack on a host is found, with and without its own packets, with kind, actor and target, and nothing else.
func TestCapturesAsTheTargetSeesThem(t *testing.T) {
	t.Parallel()
	for name, want := range detecttest.Captures() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := testenv.Data(t, "pcap/"+name)
			host := busiest(t, path)
			if want != nil {
				host = netip.MustParseAddr(want.Target.IP)
			}
			detecttest.Require(t, want, playAt(t, path, host, withEgress))
			detecttest.Require(t, want, playAt(t, path, host, noEgress))
		})
	}
}

func TestBenignCapturesAsAHostSeesThem(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob(filepath.Join(testenv.Data(t, "pcap/benign"), "*.pcap*"))
	require.NoError(t, err)
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			host := busiest(t, path)
			require.Empty(t, playAt(t, path, host, withEgress))
			require.Empty(t, playAt(t, path, host, noEgress))
		})
	}
}
