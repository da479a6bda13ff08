package containerguard_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/containerguard"
)

func TestVerbsAnswerOperatorsOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.policy("p", `actions = ["block-source"]`)
	r.start()
	raw, err := event.Encode(r.alert(from("203.0.113.7")))
	require.NoError(t, err)
	var verdicts []containerguard.PolicyDecision
	require.NoError(t, r.ask(containerguard.VerbTest, containerguard.TestRequest{Alert: raw}, &verdicts))
	require.Equal(t, []containerguard.DecidedStep{{Kind: "block-source", Target: "address:203.0.113.7", Outcome: "act"}}, verdicts[0].Steps)
	require.Empty(t, r.blocked(), "a test does nothing")
	require.Error(t, r.ask(containerguard.VerbTest, containerguard.TestRequest{Alert: json.RawMessage(`{}`)}, nil))
	require.ErrorContains(t, r.ask(containerguard.VerbIsolate, containerguard.IsolateRequest{Container: "web"}, nil), "there is no container")
	require.ErrorContains(t, r.ask(containerguard.VerbRelease, containerguard.ReleaseRequest{Container: "web"}, nil), "not in quarantine")
	require.ErrorContains(t, r.ask(containerguard.VerbEvidence, containerguard.EvidenceRequest{Action: "none"}, nil), "no evidence")
	require.Error(t, r.bus.Conn(bus.LogPipeline).Request(t.Context(), bus.VerbSubject(bus.ContainerGuard, host, containerguard.VerbIsolate), containerguard.IsolateRequest{}, nil), "operators only")
}

func TestVerbsRefuseAnEmptyName(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	require.ErrorContains(t, r.ask(containerguard.VerbIsolate, containerguard.IsolateRequest{}, nil), "no container is named")
	require.ErrorContains(t, r.ask(containerguard.VerbRelease, containerguard.ReleaseRequest{}, nil), "no container is named")
}
