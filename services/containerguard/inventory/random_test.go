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

// observer feeds a Core from a simulation: it reads events late, inspects containers and
// loses the stream now and then. It looks up what was so and compares.
type observer struct {
	w          *simulation
	rng        *rand.Rand
	core       *inventory.Core
	now        time.Time
	next       int       // event to read
	heardUntil time.Time // everything up to then is known
	found      map[string]int
	wrong      []string
}

func (o *observer) short(limit time.Duration) time.Duration {
	return time.Duration(o.rng.Int64N(int64(limit)))
}

// inspect inspects one container; something may happen meanwhile.
func (o *observer) inspect(id string) {
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

// begin does as Inventory.start: all containers, then the past events.
func (o *observer) begin() {
	o.sync()
	o.now = o.now.Add(inventory.MinSlack)
	until := o.now
	for o.next < len(o.w.events) && !o.w.events[o.next].Time.After(until) {
		o.core.Apply(o.w.events[o.next])
		o.next++
	}
	o.core.EventsCompleteSince(o.w.began)
	o.next = max(0, o.next-o.rng.IntN(4)) // the stream and the past events overlap
}

func (o *observer) sync() {
	o.heardUntil = o.now
	listed := o.list()
	for _, id := range listed {
		o.inspect(id)
	}
	for _, id := range o.core.Known() {
		if !slices.Contains(listed, id) {
			o.inspect(id)
		}
	}
}

// read reads the next event once it has been delivered.
func (o *observer) read() {
	e := o.w.events[o.next]
	o.next++
	if at := e.Time.Add(o.short(deliveryLag)); at.After(o.now) {
		o.now = at
	}
	o.core.Apply(e)
	o.heardUntil = e.Time
	if o.rng.IntN(20) == 0 {
		o.core.Apply(o.w.events[max(0, o.next-1-o.rng.IntN(5))]) // again
	}
	for _, id := range o.core.Stale() {
		o.inspect(id)
	}
}

// lose loses all events for a while.
func (o *observer) lose() {
	o.core.Disconnected(o.heardUntil)
	o.query()
	o.now = o.now.Add(o.short(3 * time.Second))
	for o.next < len(o.w.events) && o.w.events[o.next].Time.Before(o.now) {
		o.next++
	}
	o.query()
	o.sync()
	o.core.Reconnected()
}

// query picks an address, process or name that a container had at a time, rounds the time
// as some log would, and looks it up.
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

// write rounds a time as a log would, and returns how exact it is.
func (o *observer) write(at time.Time) (time.Time, time.Duration) {
	if o.rng.IntN(3) == 0 {
		return at.Truncate(time.Second), time.Second // syslog
	}
	return at.Truncate(time.Millisecond), time.Millisecond
}

// check looks up as Inventory does, with a second inspection of what was found.
func (o *observer) check(key, truth string, lookup func(*inventory.Core) (inventory.Result, error)) {
	found, err := lookup(o.core)
	if err == nil && !found.Gone && found.Until.IsZero() {
		o.inspect(found.Container.ID)
		found, err = lookup(o.core)
	}
	o.found[key]++
	switch {
	case err == nil && found.Container.ID == truth:
		o.found[key+" found"]++
	case err == nil:
		o.wrong = append(o.wrong, fmt.Sprintf("%s: named %s, was %s", key, found.Container.ID, truth))
	case errors.Is(err, inventory.ErrUnknown), errors.Is(err, inventory.ErrAmbiguous), errors.Is(err, inventory.ErrUncertain):
		o.found[key+" unnamed"]++
	default:
		o.wrong = append(o.wrong, err.Error())
	}
}

// In these simulations an earlier version named a wrong container: a name swapped while
// events were lost, an address taken again after a connect that was undone long ago, a
// rename inspected before its event came, a second that just contained a rename.
func TestSimulationsThatOnceNamedAWrongContainer(t *testing.T) {
	t.Parallel()
	for _, seed := range []uint64{7812, 27630, 50770, 42563, 183715, 203248} {
		require.Empty(t, play(seed).wrong, "seed %d", seed)
	}
}

func TestNoLookupNamesAWrongContainer(t *testing.T) {
	t.Parallel()
	const lookups = 10_000
	total := map[string]int{}
	for seed := uint64(0); total["address"]+total["pid"]+total["name"] < lookups; seed++ {
		o := play(seed)
		require.Empty(t, o.wrong, "seed %d", seed)
		for k, n := range o.found {
			total[k] += n
		}
	}
	t.Logf("%v", total)
	for _, key := range []string{"address", "pid", "name"} {
		require.Greater(t, total[key+" found"], total[key]/3, "%s: a Core that names nothing would never be wrong", key)
	}
}

// play runs the simulation of a seed to its end.
func play(seed uint64) *observer {
	w := newSimulation(seed)
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
