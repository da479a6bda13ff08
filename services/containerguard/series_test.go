package containerguard_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
)

// revision makes an alert a revision of the series "s".
func revision(n int, changes ...func(*event.Alert)) func(*event.Alert) {
	return func(a *event.Alert) {
		a.DedupKey, a.Series, a.Revision, a.Update, a.Received = "k", "s", n, n > 0, a.LastSeen
		for _, change := range changes {
			change(a)
		}
	}
}

const blockForTenMinutes = `[[policy]]
id = "p"
actions = ["block-source"]
block_ttl = "10m"
cooldown = "1m"
match.severity = "high"
`

// Of a series its first alert is answered, an escalated one, and the first after the answer ended.
func TestSeriesIsAnsweredAgainWhenItsAnswerEnded(t *testing.T) {
	t.Parallel()
	s, add := simulation(t, blockForTenMinutes, nil)
	attacker := from("203.0.113.9")
	acted := func() int { return s.Result().Outcomes["act"] }
	add(0, revision(0, attacker))
	require.Equal(t, 1, acted())
	add(2*time.Minute, revision(1, attacker))
	add(9*time.Minute, revision(2, attacker))
	require.Equal(t, 1, acted(), "it is blocked")
	add(15*time.Minute, revision(3, attacker))
	require.Equal(t, 2, acted(), "the block ended")
	add(16*time.Minute, revision(4, attacker))
	require.Equal(t, 2, acted())
	add(17*time.Minute, revision(5, attacker, func(a *event.Alert) { a.Escalated = true }))
	require.Equal(t, 3, acted(), "stronger evidence")
	add(30*time.Minute, revision(6, attacker, func(a *event.Alert) { a.Received = a.Received.Add(-5 * time.Minute) }))
	require.Equal(t, 3, acted(), "no match since the block ended")
}

// An update of an alert that caused nothing is answered as the first one was.
func TestRevisionIsAnsweredIfNothingWasDoneBefore(t *testing.T) {
	t.Parallel()
	s, add := simulation(t, blockForTenMinutes, nil)
	low := func(a *event.Alert) { a.Severity = event.Low }
	add(0, revision(0, from("203.0.113.9"), low))
	add(time.Minute, revision(1, from("203.0.113.9")))
	require.Equal(t, map[string]int{"act": 1}, s.Result().Outcomes)
}

// The answer to a series is not one to a series of another module or host with the same id.
func TestSeriesOfAnotherModuleOrHostIsAnswered(t *testing.T) {
	t.Parallel()
	s, add := simulation(t, blockForTenMinutes, nil)
	add(0, revision(0, from("203.0.113.9")))
	for n, other := range []func(*event.Alert){
		func(a *event.Alert) { a.Module = bus.EBPFEngine },
		func(a *event.Alert) { a.Host = "edge-2" },
	} {
		add(time.Duration(n+1)*time.Minute, revision(1, from(fmt.Sprintf("203.0.113.1%d", n)), other))
		require.Equal(t, n+2, s.Result().Outcomes["act"])
	}
}

// A notification has no end, so a series is told once.
func TestSeriesIsToldOnce(t *testing.T) {
	t.Parallel()
	rig := newRig(t)
	rig.policy("p", `actions = ["block-source"]`, `block_ttl = "1h"`)
	s := rig.start()
	first := rig.alert(revision(0, from("203.0.113.9")))
	rig.publish(first)
	rig.await(first, "block-source done")
	rig.publish(rig.alert(revision(1, from("203.0.113.9"))), rig.alert(revision(2, from("203.0.113.9"))))
	s.eventually(func() bool { return s.count("alert_updates") == 2 })
	require.Len(t, rig.blocked(), 1)
	for _, a := range rig.actions() {
		require.Equal(t, first.ID, a.AlertID)
	}
}

// What came before a release isolates the container not again, what comes after it does.
func TestReleasedContainerIsIsolatedByWhatComesAfter(t *testing.T) {
	t.Parallel()
	s, add := simulation(t, isolateForAnHour, nil)
	web := func(a *event.Alert) { a.Container = &event.Container{ID: strings.Repeat("ab", 32), Name: "web"} }
	add(0, revision(0, web))
	add(61*time.Minute, revision(1, web, func(a *event.Alert) { a.Received = a.Received.Add(-2 * time.Minute) }))
	require.Equal(t, map[string]int{"act": 1}, s.Result().Outcomes)
	add(62*time.Minute, revision(2, web))
	require.Equal(t, map[string]int{"act": 2}, s.Result().Outcomes)
}
