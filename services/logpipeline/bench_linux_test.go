package logpipeline_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// BenchmarkLines reads lines of one file through the whole pipeline, with the shipped rules: those of an ordinary server, and failed
// logins that each count and are alerts in open windows.
func BenchmarkLines(b *testing.B) {
	for _, kind := range []struct{ name, line string }{
		{"benign", "web1 CRON[%d]: pam_unix(cron:session): session opened for user root by (uid=0)\n"},
		{"failed", "web1 sshd[77]: Failed password for root from 192.0.2.%d port 4242 ssh2\n"},
	} {
		b.Run(kind.name, func(b *testing.B) {
			r := newRig(b)
			r.cfg.RulesPath, r.cfg.ShippedRules = "", true
			s := r.start()
			var lines strings.Builder
			for i := range b.N {
				fmt.Fprintf(&lines, stamp(2*time.Second)+" "+kind.line, i%100)
			}
			b.SetBytes(int64(lines.Len() / b.N))
			before := cpuSeconds(b)
			b.ResetTimer()
			r.write(lines.String())
			for s.count("lines") < uint64(b.N) {
				time.Sleep(time.Millisecond)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lines/s")
			b.ReportMetric((cpuSeconds(b)-before)*1e6/float64(b.N), "cpu-µs/line") // says more than the time on a machine in use
		})
	}
}

func cpuSeconds(b *testing.B) float64 {
	var used unix.Rusage
	require.NoError(b, unix.Getrusage(unix.RUSAGE_SELF, &used))
	return float64(used.Utime.Nano()+used.Stime.Nano()) / 1e9
}
