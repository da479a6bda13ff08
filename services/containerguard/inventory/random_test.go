package inventory_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/containerguard/inventory"
)

// observer reads the world's events late, asks about containers, loses the
// stream now and then, and is asked itself.
type observer struct {
	w     *world
	rng   *rand.Rand
	core  *inventory.Core
	now   time.Time
	next  int       // event to be read
	heard time.Time // everything up to then is known
	found map[string]int
	wrong []string
}

func (o *observer) short(limit time.Duration) time.Duration {
	return time.Duration(o.rng.Int64N(int64(limit)))
}

// ask asks the engine about one container; something may happen meanwhile.
func (o *observer) ask(id string) {
	asked := o.now
	shown := asked.Add(o.short(3 * time.Millisecond))
	o.now = shown.Add(o.short(3 * time.Millisecond))
	for _, b := range o.w.all {
		if c, there := b.at(shown); c.ID == id && there {
			o.core.Observe(c, asked, o.now)
			return
		}
	}
	o.core.Removed(id, o.now)
}

func (o *observer) list() []string {
	var out []string
	for _, b := range o.w.all {
		if c, there := b.at(o.now); there {
			out = append(out, c.ID)
		}
	}
	return out
}

// begin is how Inventory begins: all containers, then what happened before.
func (o *observer) begin() {
	o.sync()
	o.now = o.now.Add(inventory.MinSlack)
	until := o.now
	for o.next < len(o.w.events) && !o.w.events[o.next].Time.After(until) {
		o.core.Apply(o.w.events[o.next])
		o.next++
	}
	o.core.EventsCompleteSince(o.w.began)
	o.next = max(0, o.next-o.rng.IntN(4)) // the stream and the memory overlap
}

func (o *observer) sync() {
	o.heard = o.now
	listed := o.list()
	for _, id := range listed {
		o.ask(id)
	}
	for _, id := range o.core.Known() {
		if !slices.Contains(listed, id) {
			o.ask(id)
		}
	}
}

// read takes the next event once it has been delivered.
func (o *observer) read() {
	e := o.w.events[o.next]
	o.next++
	if at := e.Time.Add(o.short(deliveryLag)); at.After(o.now) {
		o.now = at
	}
	o.core.Apply(e)
	o.heard = e.Time
	if o.rng.IntN(20) == 0 {
		o.core.Apply(o.w.events[max(0, o.next-1-o.rng.IntN(5))]) // again
	}
	for _, id := range o.core.Stale() {
		o.ask(id)
	}
}

// lose misses everything for a while.
func (o *observer) lose() {
	o.core.Disconnected(o.heard)
	o.query()
	o.now = o.now.Add(o.short(3 * time.Second))
	for o.next < len(o.w.events) && o.w.events[o.next].Time.Before(o.now) {
		o.next++
	}
	o.query()
	o.sync()
	o.core.Reconnected()
}

// query picks something that was so at a moment, writes the moment down as
// exactly as some log would, and looks it up.
func (o *observer) query() {
	at := o.now.Add(-o.short(300 * time.Millisecond))
	if o.rng.IntN(4) == 0 {
		at = o.now.Add(-o.short(20 * time.Second))
	}
	b := o.w.all[o.rng.IntN(len(o.w.all))]
	truth, there := b.at(at)
	if !there {
		return
	}
	written, slack := o.write(at)
	switch o.rng.IntN(3) {
	case 0:
		if truth.Running && len(truth.Networks) > 0 {
			address := truth.Networks[o.rng.IntN(len(truth.Networks))].IPv4
			o.check("address", truth.ID, func(c *inventory.Core) (inventory.Result, error) { return c.ByAddress(address, written, slack) })
		}
	case 1:
		if truth.Running {
			o.check("pid", truth.ID, func(c *inventory.Core) (inventory.Result, error) { return c.ByMainPID(truth.PID, written, slack) })
		}
	case 2:
		o.check("name", truth.ID, func(c *inventory.Core) (inventory.Result, error) { return c.ByName(truth.Name, written, slack) })
	}
}

func (o *observer) write(at time.Time) (time.Time, time.Duration) {
	if o.rng.IntN(3) == 0 {
		return at.Truncate(time.Second), time.Second // syslog
	}
	return at.Truncate(time.Millisecond), time.Millisecond
}

// check looks up as Inventory does: what is found and still so is asked about again.
func (o *observer) check(key, truth string, lookup func(*inventory.Core) (inventory.Result, error)) {
	found, err := lookup(o.core)
	if err == nil && !found.Gone && found.Until.IsZero() {
		o.ask(found.Container.ID)
		found, err = lookup(o.core)
	}
	o.found[key]++
	switch {
	case err == nil && found.Container.ID == truth:
		o.found[key+" found"]++
	case err == nil:
		o.wrong = append(o.wrong, fmt.Sprintf("%s: named %s, was %s", key, found.Container.ID, truth))
	case errors.Is(err, inventory.ErrUnknown), errors.Is(err, inventory.ErrAmbiguous), errors.Is(err, inventory.ErrUncertain):
		o.found[key+" left open"]++
	default:
		o.wrong = append(o.wrong, err.Error())
	}
}

// TestWorldsThatOnceMisled plays worlds in which an earlier version named a
// wrong container: a name swapped while events were lost, an address taken again
// after a connect that was long undone, a rename shown before its event came, a second
// that just held a rename.
func TestWorldsThatOnceMisled(t *testing.T) {
	t.Parallel()
	for _, seed := range []uint64{7812, 27630, 50770, 42563, 183715, 203248} {
		require.Empty(t, play(seed).wrong, "seed %d", seed)
	}
}

func TestNoTrialNamesAWrongContainer(t *testing.T) {
	t.Parallel()
	const trials = 10_000
	total := map[string]int{}
	for seed := uint64(0); total["address"]+total["pid"]+total["name"] < trials; seed++ {
		o := play(seed)
		require.Empty(t, o.wrong, "seed %d", seed)
		for k, n := range o.found {
			total[k] += n
		}
	}
	t.Logf("%v", total)
	for _, key := range []string{"address", "pid", "name"} {
		require.Greater(t, total[key+" found"], total[key]/3, "%s: who never answers is never wrong", key)
	}
}

func play(seed uint64) *observer {
	w := newWorld(seed)
	o := &observer{w: w, rng: rand.New(rand.NewPCG(seed, 2)), core: inventory.NewCore(), found: map[string]int{}}
	o.now = w.began.Add(o.short(15 * time.Second))
	o.begin()
	for o.next < len(w.events) {
		switch o.rng.IntN(12) {
		case 0:
			o.lose()
		case 1, 2, 3:
			o.query()
		default:
			o.read()
		}
		o.core.Prune(o.now)
	}
	return o
}
