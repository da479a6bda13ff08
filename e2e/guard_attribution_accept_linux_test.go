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

// randomAlert is an alert and its expected outcome.
type randomAlert struct {
	alert *event.Alert
	want  string // container id; empty: skipped
	why   string
}

// population is a set of containers that start and end.
type population struct {
	f    *guardSetup
	live []*member
	gone []*member
	n    int
}

type member struct {
	docker.Container
	known time.Time // since when the guard can know it
	ended time.Time
}

// add runs a container on one of the networks. Addresses are reused at once.
func (c *population) add() {
	c.n++
	network := []string{"one", "two"}[c.n%2]
	id := c.f.engine.Run(c.f.t, testenv.ContainerOptions{Name: fmt.Sprint("m", c.n), Network: network})
	got, _, err := c.f.docker.Inspect(c.f.t.Context(), id)
	require.NoError(c.f.t, err)
	c.live = append(c.live, &member{Container: got, known: time.Now()})
}

// end removes a random container.
func (c *population) end() {
	i := rand.IntN(len(c.live))
	m := c.live[i]
	m.ended = time.Now()
	c.f.engine.Remove(c.f.t, m.ID)
	c.live = slices.Delete(c.live, i, i+1)
	c.gone = append(c.gone, m)
}

func (c *population) rename() {
	m := c.live[rand.IntN(len(c.live))]
	c.n++
	name := fmt.Sprint("r", c.n)
	c.f.engine.Do(c.f.t, "POST", "/containers/"+m.ID+"/rename?name="+name, nil, nil)
	m.Name, m.known = name, time.Now()
}

// randomAlert makes an alert about a running container, or a stale one about a container
// that has ended, whose name or address another one may have now.
func (c *population) randomAlert() randomAlert {
	m := c.live[rand.IntN(len(c.live))]
	stale := len(c.gone) > 0 && rand.IntN(3) == 0
	at := time.Now()
	if stale {
		m = c.gone[max(0, len(c.gone)-5)+rand.IntN(min(5, len(c.gone)))]
		at = m.ended.Add(-time.Duration(rand.IntN(1000)) * time.Millisecond)
	}
	key := []string{"id", "address", "name", "pid"}[rand.IntN(4)]
	t := randomAlert{why: key}
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

// 500 random alerts while containers start, end, take over addresses and are renamed: no
// response hits a wrong container.
func TestAcceptGuardAttribution(t *testing.T) {
	trials := 500
	if n, err := strconv.Atoi(os.Getenv("IRONPOST_TEST_TRIALS")); err == nil { // fewer, to try the test itself
		trials = n
	}
	f := newGuardSetup(t, wideCaps, "[[policy]]\nid = \"p\"\nactions = [\"pause\"]\nrequire.signs = 1\ncooldown = \"0s\"\nmatch.severity = \"high\"\n")
	f.engine.Network(t, "one", "10.231.1.0/28")
	f.engine.Network(t, "two", "10.231.2.0/28")
	c := &population{f: f}
	for range 10 {
		c.add()
	}
	wrong, right, uncertain, staleSkipped := 0, 0, 0, 0
	reasons := map[string]int{}
	for range trials {
		switch rand.IntN(4) {
		case 0:
			c.end()
			c.add()
		case 1:
			c.rename()
		}
		tr := c.randomAlert()
		f.publish(tr.alert)
		got, reason := f.outcomeOf(tr.alert)
		switch {
		case got == "" && tr.want == "":
			staleSkipped++
		case got == "":
			uncertain++
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
	t.Logf("%d trials: right %d, stale ones skipped %d, wrong %d (bar 0), not certain enough %d: %v", trials, right, staleSkipped, wrong, uncertain, reasons)
	require.Zero(t, wrong)
	require.Greater(t, right, trials/3)
}

// outcomeOf waits for the report about an alert: the container that was paused, or why none was.
func (f *guardSetup) outcomeOf(a *event.Alert) (container, reason string) {
	f.t.Helper()
	f.eventually(func() bool {
		found := false
		err := f.operator.History(f.t.Context(), bus.Actions, bus.HistoryOptions{Since: a.Time.Add(-time.Second), Filter: bus.ActionSubject("*", testHost)}, func(d bus.Delivery) bool {
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
