package logpipeline_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/logpipeline"
)

// BenchmarkDecode reads real syslog lines from a file to their fields: no rule matches. With several files each has as many lines. By TCP
// they come from one connection.
func BenchmarkDecode(b *testing.B) {
	for _, files := range []int{1, 2, 4} {
		b.Run(fmt.Sprintf("files=%d", files), func(b *testing.B) {
			r := decodingRig(b)
			paths := []string{r.watched}
			for i := 1; i < files; i++ {
				paths = append(paths, fmt.Sprint(r.watched, i))
				appendTo(b, paths[i], "")
			}
			r.cfg.WatchPaths = paths
			measureDecoding(b, r.start(), files, func(lines string) {
				var writers sync.WaitGroup
				for _, path := range paths {
					writers.Go(func() { appendTo(b, path, lines) })
				}
				writers.Wait()
			})
		})
	}
	b.Run("tcp", func(b *testing.B) {
		r := decodingRig(b)
		r.cfg.Sources, r.cfg.SyslogTCPBind = []string{logpipeline.SourceSyslogTCP}, freeAddr(b)
		s := r.start()
		measureDecoding(b, s, 1, func(lines string) {
			_, err := dial(b, "tcp", r.cfg.SyslogTCPBind).Write([]byte(lines))
			require.NoError(b, err)
		})
	})
}

// decodingRig has a rule that matches no line.
func decodingRig(b *testing.B) *rig {
	r := newRig(b)
	r.cfg.RulesPath, r.cfg.ShippedRules = filepath.Join(b.TempDir(), "none.yml"), false
	none := "title: None\nlogsource:\n  product: windows\ndetection:\n  sel:\n    EventID: 1\n  condition: sel\nlevel: low\n"
	require.NoError(b, os.WriteFile(r.cfg.RulesPath, []byte(none), 0o600))
	return r
}

// measureDecoding measures s from the time at which write gives it b.N lines in times copies.
func measureDecoding(b *testing.B, s *running, copies int, write func(lines string)) {
	data, err := os.ReadFile(testenv.Data(b, "loghub/OpenSSH/OpenSSH_2k.log"))
	require.NoError(b, err)
	real := strings.SplitAfter(string(data), "\n")
	var lines strings.Builder
	for i := range b.N {
		lines.WriteString(strings.TrimRight(real[i%(len(real)-1)], "\r\n") + "\n")
	}
	n := float64(b.N * copies)
	b.SetBytes(int64(copies * lines.Len() / b.N))
	before := cpuSeconds(b)
	b.ResetTimer()
	write(lines.String())
	require.Eventually(b, func() bool { return s.count("lines") >= uint64(n) }, time.Minute, 5*time.Millisecond)
	used := cpuSeconds(b) - before
	b.ReportMetric(n/b.Elapsed().Seconds(), "lines/s")
	b.ReportMetric(used*1e6/n, "cpu-µs/line")
	b.ReportMetric(float64(copies*lines.Len())/1e6/used, "MB/cpu-s")
}
