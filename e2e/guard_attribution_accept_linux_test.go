//go:build accept && linux

package e2e_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/testenv"
)

// trial is one random alert and what must come of it.
type trial struct {
	alert *event.Alert
	want  string // container id; empty: skipped
	why   string
}

// crowd is a set of containers that come and go, with what is true of them.
type crowd struct {
	f    *field
	live []*member
	gone []*member
	n    int
}

type member struct {
	docker.Container
	known time.Time // from when on the guard can know it
	ended time.Time
}

// add runs a container on one of the networks. Addresses are reused at once.
func (c *crowd) add() {
	c.n++
	network := []string{"one", "two"}[c.n%2]
	id := c.f.engine.Run(c.f.t, testenv.ContainerOptions{Name: fmt.Sprint("m", c.n), Network: network})
	got, _, err := c.f.docker.Inspect(c.f.t.Context(), id)
	require.NoError(c.f.t, err)
	c.live = append(c.live, &member{Container: got, known: time.Now()})
}

// end removes a random container.
func (c *crowd) end() {
	i := rand.IntN(len(c.live))
	m := c.live[i]
	m.ended = time.Now()
	c.f.engine.Remove(c.f.t, m.ID)
	c.live = slices.Delete(c.live, i, i+1)
	c.gone = append(c.gone, m)
}

func (c *crowd) rename() {
	m := c.live[rand.IntN(len(c.live))]
	c.n++
	name := fmt.Sprint("r", c.n)
	c.f.engine.Do(c.f.t, "POST", "/containers/"+m.ID+"/rename?name="+name, nil, nil)
	m.Name, m.known = name, time.Now()
}

// trial makes an alert about a container that is, or was, there. A stale one is about
// one that is gone, by what the next may have now.
func (c *crowd) trial() trial {
	m := c.live[rand.IntN(len(c.live))]
	stale := len(c.gone) > 0 && rand.IntN(3) == 0
	at := time.Now()
	if stale {
		m = c.gone[max(0, len(c.gone)-5)+rand.IntN(min(5, len(c.gone)))]
		at = m.ended.Add(-time.Duration(rand.IntN(1000)) * time.Millisecond)
	}
	key := []string{"id", "address", "name", "pid"}[rand.IntN(4)]
	t := trial{why: key}
	if stale {
		t.why = "stale " + key
	} else {
		t.want = m.ID
	}
	t.alert = c.f.alert(func(a *event.Alert) {
		a.FirstSeen, a.LastSeen = at.UTC(), at.UTC()
		switch key {
		case "id":
			a.Container = &event.Container{ID: m.ID}
		case "address":
			a.Source = &event.Endpoint{IP: m.Networks[0].IPv4.String()}
		case "name":
			a.Container = &event.Container{Name: m.Name}
		case "pid":
			a.PID = m.PID
		}
	})
	return t
}

// TestAcceptGuardAttribution: 500 random alerts while containers come, go, take over
// addresses and are renamed: never a wrong one.
func TestAcceptGuardAttribution(t *testing.T) {
	trials := 500
	if n, err := strconv.Atoi(os.Getenv("IRONPOST_TEST_TRIALS")); err == nil { // fewer, to look at the test itself
		trials = n
	}
	f := newField(t, wideCaps, "[[policy]]\nid = \"p\"\nactions = [\"pause\"]\ncooldown = \"0s\"\nmatch.severity = \"high\"\n")
	f.engine.Network(t, "one", "10.231.1.0/28")
	f.engine.Network(t, "two", "10.231.2.0/28")
	c := &crowd{f: f}
	for range 10 {
		c.add()
	}
	wrong, right, shy, staleSkipped := 0, 0, 0, 0
	reasons := map[string]int{}
	for range trials {
		switch rand.IntN(4) {
		case 0:
			c.end()
			c.add()
		case 1:
			c.rename()
		}
		tr := c.trial()
		f.publish(tr.alert)
		got, reason := f.cameOf(tr.alert)
		switch {
		case got == "" && tr.want == "":
			staleSkipped++
		case got == "":
			shy++
			reasons[tr.why+": "+reason]++
		case got == tr.want:
			right++
		default:
			wrong++
			t.Logf("wrong: %s got %s want %q at %v", tr.why, got, tr.want, tr.alert.LastSeen)
		}
		require.LessOrEqual(t, f.paused(), 1)
		if got != "" {
			f.releaseAll()
		}
	}
	t.Logf("%d trials: right %d, stale ones skipped %d, wrong %d (bar 0), not certain enough %d: %v", trials, right, staleSkipped, wrong, shy, reasons)
	require.Zero(t, wrong)
	require.Greater(t, right, trials/3)
}

// cameOf waits for the report about an alert: the container that was paused, or why none.
func (f *field) cameOf(a *event.Alert) (container, reason string) {
	f.t.Helper()
	f.eventually(func() bool {
		found := false
		err := f.operator.History(f.t.Context(), bus.Actions, bus.HistoryOptions{Since: a.Time.Add(-time.Second), Filter: bus.ActionSubject("*", stageHost)}, func(d bus.Delivery) bool {
			var got event.Action
			if event.Decode(d.Data, &got) != nil || got.AlertID != a.ID || got.Phase == event.Intended {
				return true
			}
			found, reason, container = true, cmp.Or(got.Error, got.Reason), ""
			if got.Phase == event.Done && got.Container != nil {
				container = got.Container.ID
			}
			return false
		})
		require.NoError(f.t, err)
		return found
	})
	return container, reason
}
