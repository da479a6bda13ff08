package suite_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/credential"
)

// edgeMetrics are the names of what an edge and a hub expose beyond testdata/metrics.golden.
const edgeMetrics = `ironpost_bus_edge_connected gauge {edge}
ironpost_forwarder_duplicates_total counter {stream}
ironpost_forwarder_forwarded_total counter {stream}
ironpost_forwarder_hub_blocks gauge {}
ironpost_forwarder_hub_connected gauge {}
ironpost_forwarder_oldest_unsent_seconds gauge {stream}
ironpost_forwarder_unsent_records gauge {stream}
`

// A daemon that is an edge of a hub that is away, and itself a hub of an edge that is away, works and says both.
func TestEdgeAndHubOfAnEdge(t *testing.T) {
	t.Parallel()
	i := install(t, allOff)
	store := credential.Store{PKI: i.dir + "/pki", Keys: i.dir + "/data/keys"}
	require.NoError(t, store.Init([]string{"127.0.0.1"}, time.Now()))
	require.NoError(t, store.AddHost("branch-1", []string{bus.Edge}, i.dir+"/bundle", false, time.Now().AddDate(0, 0, -340)))
	i.replace("[bus]\n", fmt.Sprintf("[bus]\nhub = \"tls://127.0.0.1:1\"\nhub_bundle = %q\nlisten = %q\ntls_ca = %q\ntls_cert = %q\ntls_key = %q\n",
		i.dir+"/bundle", freePort(t), filepath.Join(store.PKI, credential.CA), filepath.Join(store.PKI, credential.ServerCert), filepath.Join(store.PKI, credential.ServerKey)))
	i.start()
	var body string
	require.Eventually(t, func() bool {
		_, health := i.get("/healthz")
		_, body = i.get("/metrics")
		return strings.Contains(health, "the hub tls://127.0.0.1:1 has not been reachable since") && strings.Contains(health, "nothing waits for it") &&
			strings.Contains(health, "bundle/client.pem expires at") &&
			strings.Contains(health, "the edge branch-1 has not answered since this daemon started")
	}, patience, patience/1000)
	require.Zero(t, i.stop())
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)
	var got strings.Builder
	for line := range strings.Lines(describe(t, body)) {
		if strings.Contains(line, "_forwarder_") || strings.Contains(line, "_edge_") {
			got.WriteString(line)
		}
	}
	require.Equal(t, edgeMetrics, got.String())
}
