package embedded_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/event"
)

const secret = "a line of a log that only root may read"

// secretAlert has the secret wherever text of a log can be.
func secretAlert(id string) *event.Alert {
	now := time.Now().UTC()
	return &event.Alert{
		ID: id, Schema: event.Schema, TraceID: secret, Time: now, FirstSeen: now, LastSeen: now, Received: now, Count: 1, Module: bus.LogPipeline, Host: "testhost",
		Rule: event.Rule{ID: "r", Title: "rule", Level: event.High}, Severity: event.High, Title: "title", Description: secret,
		Source: &event.Endpoint{IP: "192.0.2.7", Port: 1}, Target: &event.Endpoint{IP: "192.0.2.8", Port: 22},
		Container: &event.Container{ID: "4f6c1b2a9d3e"}, PID: 7, User: secret, Vulnerability: &event.Vulnerability{Summary: secret}, Findings: []event.Finding{{PURL: secret}},
		Evidence: []string{secret}, Matched: []event.Matched{{Field: "f", Value: secret, Why: secret}},
		Series: "s", Revision: 0, State: event.Open, Totals: map[string]uint64{secret: 1}, Members: []string{secret}, Origin: &event.Origin{Source: secret}, Trust: event.TrustKernel,
		LogHost: secret, Service: secret, Request: &event.Request{Path: secret}, DedupKey: secret, Incomplete: []event.Incomplete{{Counter: secret}},
	}
}

func TestObserversSeeNoEvidence(t *testing.T) {
	t.Parallel()
	for name, whole := range map[string]bool{"by default": false, "with observer_evidence": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := bustest.New(t)
			if whole {
				b = bustest.New(t, bustest.WithConfig(evidence))
			}
			nc := b.Observer()
			alerts, actions := listen(t, nc, bus.RepublishedAlerts), listen(t, nc, bus.RepublishedActions)
			a := secretAlert("alert-1")
			data, err := event.Encode(a)
			require.NoError(t, err)
			alert(t, b, publisher(t, b), string(data))
			publishAction(t, b, &event.Action{
				ID: "action-1", Schema: event.Schema, TraceID: secret, Time: time.Now().UTC(), Module: bus.ContainerGuard, Host: b.Host(), AlertID: a.ID, Policy: "p", Kind: "isolate",
				Target: "web-1", Phase: event.Failed, Reason: secret, Error: secret, Undo: secret,
			})
			alertSeen, actionSeen := next(t, alerts), next(t, actions)
			require.Equal(t, whole, strings.Contains(string(alertSeen.Data), secret), string(alertSeen.Data))
			require.Equal(t, whole, strings.Contains(string(actionSeen.Data), secret), string(actionSeen.Data))
			var observed event.ObservedAlert
			require.NoError(t, json.Unmarshal(alertSeen.Data, &observed))
			require.Equal(t, *a.Observed(), observed)
			require.Equal(t, bus.AlertSubject(bus.LogPipeline, b.Host()), alertSeen.Header.Get("Nats-Subject"))
			require.Empty(t, b.Server().ObserverReasons())
		})
	}
}

func publishAction(t *testing.T, b *bustest.Bus, a *event.Action) {
	t.Helper()
	pub, err := b.Conn(bus.ContainerGuard).Publisher(bus.PublisherConfig{Stream: bus.Actions, Module: bus.ContainerGuard, Host: b.Host()})
	require.NoError(t, err)
	require.NoError(t, pub.Send(within(t), a))
	require.NoError(t, pub.Flush(within(t)))
}

// What observers are refused is told, and costs others nothing.
func TestObserverWithTooManySubscriptionsIsRefused(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	var many strings.Builder
	many.WriteString("CONNECT {\"verbose\":false}\r\n")
	for n := range 1024 {
		many.WriteString("SUB ironpost.alerts " + strconv.Itoa(n) + "\r\n")
	}
	c, err := net.Dial("tcp", b.Server().ObserverAddr())
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(c, many.String())
	require.NoError(t, err)
	in := bufio.NewReader(c)
	_, err = in.ReadString('\n') // INFO
	require.NoError(t, err)
	refusal, err := in.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "-ERR 'maximum subscriptions exceeded: one user may have 16'\r\n", refusal)
	require.Eventually(t, func() bool { return len(b.Server().ObserverReasons()) == 1 }, patience, time.Millisecond)
	require.Contains(t, b.Server().ObserverReasons()[0], "1 for subscriptions")
	listen(t, b.Observer(), bus.RepublishedAlerts)
}
