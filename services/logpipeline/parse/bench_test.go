package parse_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/logpipeline/parse"
)

// BenchmarkLoghub parses the lines of real logs. MB/s is of one core.
func BenchmarkLoghub(b *testing.B) {
	for _, set := range []string{"OpenSSH", "Linux", "Apache"} {
		b.Run(set, func(b *testing.B) {
			data, err := os.ReadFile(testenv.Data(b, filepath.Join("loghub", set, set+"_2k.log")))
			require.NoError(b, err)
			lines := strings.Split(strings.TrimSpace(string(data)), "\n")
			p := parse.New(parse.Options{Location: time.UTC})
			b.ReportAllocs()
			b.SetBytes(int64(len(data) / len(lines)))
			var ev parse.Event
			i := 0
			for b.Loop() {
				p.ParseInto(&ev, lines[i%len(lines)], now, shippedFormats())
				i++
			}
		})
	}
}
