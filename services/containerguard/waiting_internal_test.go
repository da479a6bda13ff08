package containerguard

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/connection"
	"github.com/ironpost/ironpost/internal/folder"
	"github.com/ironpost/ironpost/internal/health"
	"github.com/ironpost/ironpost/services/containerguard/policy"
	"github.com/ironpost/ironpost/services/containerguard/safety"
)

// Whoever has an IPv6 /64 is one source of evidence, whatever address of it a message comes from.
func TestNetworkOfASenderIsOneSource(t *testing.T) {
	t.Parallel()
	source := func(peer string) string {
		return evidenceSource(&event.Alert{Module: bus.LogPipeline, Origin: &event.Origin{Transport: event.TransportSyslogTCP, Peer: peer}})
	}
	require.Equal(t, source("[2001:db8::1]:514"), source("[2001:db8::ffff:2]:40000"))
	require.NotEqual(t, source("[2001:db8::1]:514"), source("[2001:db8:0:1::1]:514"))
	require.Equal(t, source("192.0.2.1:1"), source("192.0.2.1:2"))
	require.NotEqual(t, source("192.0.2.1:1"), source("192.0.2.2:1"))
}

// Forged lines about a customer do not wait for the customer to visit the web server.
func TestOnlyLaterConnectionsToSshdProve(t *testing.T) {
	t.Parallel()
	for service, want := range map[string]bool{"sshd": true, "webserver": false, "": false} {
		e := &evaluator{connections: connection.NewWatcher(), now: time.Now()}
		s := step{address: netip.MustParseAddr("203.0.113.7")}
		e.limitBlock(&event.Alert{Module: bus.LogPipeline, Trust: event.TrustHost, Service: service, FirstSeen: e.now}, &s)
		require.NotEmpty(t, s.need)
		require.Equal(t, want, s.need == needConnection, service)
	}
}

func waitingBlock(key string, until time.Time) *waitingAnswer {
	return &waitingAnswer{Alert: &event.Alert{DedupKey: key, Trust: event.TrustUnproven}, Source: "syslog", Steps: map[string]waitingStep{
		"block": {Need: needConnection, Kind: policy.BlockSource, Until: until, Query: &connection.Query{Service: "sshd"}},
	}}
}

func waitsForConnection(s waitingStep) bool { return s.Need == needConnection }

// An answer that failed is not tried again at once.
func TestWaitingAnswerPausesAfterAFailure(t *testing.T) {
	t.Parallel()
	l, now := newWaitingList(), time.Now()
	w := waitingBlock("a", now.Add(time.Minute))
	l.put(w, now)
	require.Len(t, l.with(waitsForConnection, now), 1)
	l.pause(w.key(), now.Add(time.Second))
	require.Empty(t, l.with(waitsForConnection, now))
	require.Len(t, l.with(waitsForConnection, now.Add(time.Second)), 1)
}

// However many blocks wait, by whatever evidence, they push out no step on a container.
func TestBlocksPushOutNoContainer(t *testing.T) {
	t.Parallel()
	l, now := newWaitingList(), time.Now()
	isolate := &waitingAnswer{Alert: &event.Alert{DedupKey: "web", Trust: event.TrustContainer}, Source: "web", Steps: map[string]waitingStep{
		"isolate": {Need: needSign, Kind: policy.Isolate, Until: now.Add(time.Minute)},
	}}
	l.put(isolate, now)
	for i := range maxWaiting + 10 {
		w := waitingBlock(fmt.Sprint(i), now.Add(time.Hour))
		w.Source, w.Alert.Trust = fmt.Sprint(i%8), event.TrustKernel
		l.put(w, now)
	}
	require.NotNil(t, l.of(isolate.Alert, now))
}

// However many weak alerts of one source come, an alert with stronger evidence of the same source, and those of others, wait on.
func TestWeakestAnswersAreDropped(t *testing.T) {
	t.Parallel()
	l, now := newWaitingList(), time.Now()
	until := now.Add(time.Minute)
	strong := waitingBlock("strong", until)
	strong.Alert.Severity = event.High
	other := waitingBlock("other", until)
	other.Source = "another"
	l.put(strong, now)
	l.put(other, now)
	for i := range maxWaitingSource + 10 {
		l.put(waitingBlock(fmt.Sprint("weak", i), until.Add(time.Second)), now)
	}
	require.NotNil(t, l.of(strong.Alert, now))
	require.NotNil(t, l.of(other.Alert, now))
	require.Len(t, l.with(waitsForConnection, now), maxWaitingSource+1)
	_, dropped := l.counts()
	require.Equal(t, uint64(11), dropped)
}

// A restart loses no answer that waits, and keeps since when and for what it does.
func TestWaitingAnswersSurviveARestart(t *testing.T) {
	t.Parallel()
	dir, now := t.TempDir(), time.Now().UTC()
	l, err := openWaitingList(dir)
	require.NoError(t, err)
	kept, ended, replaced := waitingBlock("kept", now.Add(time.Minute)), waitingBlock("ended", now.Add(time.Minute)), waitingBlock("kept", now.Add(2*time.Minute))
	kept.Since, replaced.Since = now, now.Add(time.Second)
	for _, w := range []*waitingAnswer{kept, ended, replaced} {
		l.put(w, now)
		require.NoError(t, l.save())
	}
	l.end(ended.Alert)
	require.NoError(t, l.save())
	require.NoError(t, l.close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "answers", "garbage.json"), []byte("{"), 0o600))

	l, err = openWaitingList(dir)
	require.NoError(t, err)
	defer func() { require.NoError(t, l.close()) }()
	got := l.with(waitsForConnection, now)
	require.Len(t, got, 1)
	require.Equal(t, replaced.Steps, got[0].Steps)
	require.Equal(t, now, got[0].Since, "since the first alert of the matter")
	names, err := l.files.Names()
	require.NoError(t, err)
	require.Equal(t, []string{answerFile(kept.key())}, names)
}

// A step whose time is over is removed, the others of its alert wait on.
func TestWaitingStepsExpire(t *testing.T) {
	t.Parallel()
	l, now := newWaitingList(), time.Now()
	w := waitingBlock("a", now.Add(time.Minute))
	w.Steps["isolate"] = waitingStep{Need: needRoom, Kind: policy.Isolate, Until: now.Add(time.Hour)}
	l.put(w, now)
	expired := l.expire(now.Add(2 * time.Minute))
	require.Len(t, expired, 1)
	require.Contains(t, expired[0].Steps, "block")
	steps, _ := l.counts()
	require.Equal(t, map[need]int{needRoom: 1}, steps)
	require.Len(t, l.expire(now.Add(2*time.Hour)), 1)
	require.Nil(t, l.of(w.Alert, now))
}

// An alert that is answered does not end the reason that the blocks could not be saved.
func TestUnsavedBlocksStayAReason(t *testing.T) {
	t.Parallel()
	files, err := folder.Open(t.TempDir())
	require.NoError(t, err)
	defer func() { require.NoError(t, files.Close()) }()
	s := &Service{health: health.New(Name, "host"), log: logrus.NewEntry(logrus.New())}
	run := &runState{memory: memory{waiting: newWaitingList()}}
	run.signs, _, err = safety.OpenSigns(files)
	require.NoError(t, err)
	run.destinations, _, err = safety.OpenDestinations(files, time.Now())
	require.NoError(t, err)
	run.guardState, _, err = safety.OpenState(files, safety.Limits{})
	require.NoError(t, err)
	run.corroboration, _, err = safety.OpenCorroboration(files)
	require.NoError(t, err)
	full := errors.New("disk full")
	run.blocksUnsaved.Store(&full)
	s.saveState(run)
	require.Contains(t, fmt.Sprint(s.health.Report(nil)), "disk full")
}

// What a cooldown refused is not tried before it is over, which would be a report every minute.
func TestStepInItsCooldownIsNotTried(t *testing.T) {
	t.Parallel()
	now := time.Now()
	m := memory{waiting: newWaitingList(), guardState: safety.NewState(safety.Limits{PerMinute: 10, PerProject: 10, Share: 100})}
	m.guardState.StartCooldown("p|pause|container:web", "before", 0, time.Minute, now)
	m.waiting.put(&waitingAnswer{Alert: &event.Alert{ID: "a", DedupKey: "k", Trust: event.TrustUnproven}, Since: now, Steps: map[string]waitingStep{
		"p|pause|container:web": {Need: needRoom, Kind: policy.Pause, Container: &event.Container{ID: "web"}, Until: now.Add(time.Hour)},
	}}, now)
	tried := 0
	for _, after := range []time.Duration{0, 59 * time.Second, 61 * time.Second} {
		m.answerReady(10, now.Add(after), func(*waitingAnswer) { tried++ })
	}
	require.Equal(t, 1, tried)
}
