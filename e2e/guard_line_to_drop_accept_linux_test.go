//go:build accept

package e2e_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Measures the time from the line of an attack in a log, through rule, alert, policy and
// bucket, to the last packet of the attacker that passes. There is no Docker: blocking
// does not need it.
func TestAcceptGuardLineToDrop(t *testing.T) {
	const (
		rounds = 100
		bar    = 100 * time.Millisecond
		window = time.Second // of deduplication, the shortest: each line must be an alert
	)
	l := newLab(t)
	s := newInstance(t)
	s.wrap = append([]string{"env", "IRONPOST_LOG_PIPELINE_DEDUP_WINDOW_SECS=1", "nice", "-n", strconv.Itoa(urgent)}, inNamespace(l.victim)...)
	s.enableEngine(fmt.Sprintf("[container]\nenabled = true\nauto_isolate = true\nblock_private = true\ndocker_socket = %q\npolicy_path = %q\n",
		s.path("no.sock"), s.path("policies.toml")))
	s.write("policies.toml", "[[policy]]\nid = \"p\"\nactions = [\"block-source\"]\nblock_ttl = \"1h\"\ncooldown = \"0s\"\nmatch.severity = \"medium\"\nrequire.proof = false\n")
	s.start()
	list, f := s.blocklist(), l.newFlow(attacker4)
	var delays []time.Duration
	for n := range rounds {
		f.waitUntilReceived()
		began := time.Now()
		s.append(fmt.Appendf(nil, "%s - - [%s] \"GET /%d?file=../../../../etc/passwd HTTP/1.1\" 200 512 \"-\" \"-\"\n",
			attacker4, began.UTC().Format("02/Jan/2006:15:04:05 -0700"), n))
		delays = append(delays, f.waitUntilStopped().Sub(began))
		unblock(t, list, attacker4)
		time.Sleep(time.Until(began.Add(window + window/2))) // a line in the same window would be the same alert
	}
	slices.Sort(delays)
	p99 := delays[rounds*99/100-1]
	t.Logf("line appended → last packet through, %d times: median %v, p99 %v, most %v (bar of p99 from the alert on: %v)",
		rounds, delays[rounds/2], p99, delays[rounds-1], bar)
	require.LessOrEqual(t, p99, bar)
}
