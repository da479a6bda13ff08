package suite_test

import (
	"context"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
)

// A log that nobody reads is a reason in the status, delays nothing, and does not keep the daemon from stopping.
func TestDaemonWhoseLogIsNotRead(t *testing.T) {
	t.Parallel()
	i := install(t, allOff)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Close(); _ = w.Close() })
	require.NoError(t, w.SetWriteDeadline(time.Now().Add(100*time.Millisecond)))
	for err == nil {
		_, err = w.Write(make([]byte, 4096))
	}
	require.NoError(t, w.SetWriteDeadline(time.Time{}))
	p := i.process()
	p.Stderr = w
	go func() { i.exit <- p.Run(context.Background()) }()
	require.Eventually(t, func() bool {
		resp, err := http.Get("http://" + i.metrics + "/readyz")
		return err == nil && resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	}, patience, 20*time.Millisecond)
	require.Eventually(t, func() bool {
		for _, m := range i.health().Modules {
			if m.Name == "log" && m.Status == event.Degraded {
				return strings.HasPrefix(m.Reasons[0], "the log is not read since ")
			}
		}
		return false
	}, patience, 20*time.Millisecond)
	i.signals <- syscall.SIGTERM
	require.Zero(t, i.wait())
}
