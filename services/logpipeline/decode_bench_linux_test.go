package logpipeline_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
)

// BenchmarkDecode reads real syslog lines from a file to their fields: no rule matches.
func BenchmarkDecode(b *testing.B) {
	r := newRig(b)
	r.cfg.RulesPath, r.cfg.ShippedRules = filepath.Join(b.TempDir(), "none.yml"), false
	none := "title: None\nlogsource:\n  product: windows\ndetection:\n  sel:\n    EventID: 1\n  condition: sel\nlevel: low\n"
	require.NoError(b, os.WriteFile(r.cfg.RulesPath, []byte(none), 0o600))
	s := r.start()
	data, err := os.ReadFile(testenv.Data(b, "loghub/OpenSSH/OpenSSH_2k.log"))
	require.NoError(b, err)
	real := strings.SplitAfter(string(data), "\n")
	var lines strings.Builder
	for i := range b.N {
		lines.WriteString(strings.TrimRight(real[i%(len(real)-1)], "\r\n") + "\n")
	}
	b.SetBytes(int64(lines.Len() / b.N))
	before := cpuSeconds(b)
	b.ResetTimer()
	r.write(lines.String())
	for s.count("lines") < uint64(b.N) {
		time.Sleep(time.Millisecond)
	}
	b.ReportMetric((cpuSeconds(b)-before)*1e6/float64(b.N), "cpu-µs/line")
	b.ReportMetric(float64(lines.Len())/1e6/(cpuSeconds(b)-before), "MB/cpu-s")
}
