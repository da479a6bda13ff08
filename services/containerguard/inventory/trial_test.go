package inventory_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/services/containerguard/inventory"
)

// An engine that exists in time only. Addresses, process ids and names are few,
// and given to the next that asks, as Docker does with addresses.
const (
	addressesPerNetwork = 4
	processIDs          = 5
	eventLag            = 20 * time.Millisecond // how late an event may be stamped
	deliveryLag         = 60 * time.Millisecond // how late it may be read after that
)

// world is the whole history of such an engine.
type world struct {
	rng    *rand.Rand
	now    time.Time
	began  time.Time
	live   []*box
	all    []*box
	events []docker.Event
	serial int
}

// box is a container through time.
type box struct {
	states []state // each from its time on
}

type state struct {
	at   time.Time
	gone bool
	c    docker.Container
}

func (b *box) at(t time.Time) (docker.Container, bool) {
	for _, s := range slices.Backward(b.states) {
		if !s.at.After(t) {
			return s.c, !s.gone
		}
	}
	return docker.Container{}, false
}

func (b *box) now() docker.Container { return b.states[len(b.states)-1].c }

func newWorld(seed uint64) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 1)), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	w.began = w.now
	for range 60 {
		w.now = w.now.Add(w.pause())
		w.step()
	}
	w.now = w.now.Add(time.Second)
	slices.SortStableFunc(w.events, func(a, b docker.Event) int { return a.Time.Compare(b.Time) })
	return w
}

// pause is often nothing at all: the next container takes what the last one gave up.
func (w *world) pause() time.Duration {
	if w.rng.IntN(3) == 0 {
		return time.Duration(w.rng.IntN(2000)) * time.Microsecond
	}
	return time.Duration(w.rng.IntN(1500)) * time.Millisecond
}

func (w *world) step() {
	if len(w.live) < 2 || (len(w.live) < 6 && w.rng.IntN(3) == 0) {
		w.create()
		return
	}
	b := w.live[w.rng.IntN(len(w.live))]
	switch w.rng.IntN(9) {
	case 0, 1:
		w.remove(b)
	case 2:
		w.stop(b)
	case 3:
		w.start(b)
	case 4:
		w.stop(b)
		w.now = w.now.Add(time.Duration(w.rng.IntN(100)) * time.Millisecond)
		w.start(b)
	case 5:
		w.rename(b)
	case 6:
		w.disconnect(b)
	case 7:
		w.connect(b)
	case 8:
		w.swapNames(b)
	}
}

func (w *world) set(b *box, change func(*docker.Container)) {
	c := docker.Container{}
	if len(b.states) > 0 {
		c = b.now()
		c.Networks = slices.Clone(c.Networks)
	}
	change(&c)
	b.states = append(b.states, state{at: w.now, c: c})
}

func (w *world) emit(kind, action string, c docker.Container, attributes map[string]string) {
	e := docker.Event{Time: w.now.Add(time.Duration(w.rng.Int64N(int64(eventLag)))), Kind: kind, Action: action, Container: c.ID, Attributes: attributes}
	if kind == "container" {
		e.Name, e.Image = c.Name, c.Image
	} else {
		e.NetworkID = attributes["id"]
	}
	if n := len(w.events); n > 0 && e.Time.Before(w.events[n-1].Time) {
		e.Time = w.events[n-1].Time // one log, stamped in order
	}
	w.events = append(w.events, e)
}

func (w *world) create() {
	w.serial++
	b := &box{}
	w.set(b, func(c *docker.Container) {
		*c = docker.Container{
			ID: fmt.Sprintf("%064x", w.serial*7919), Image: "same", Created: w.now, State: "created",
			Name: w.free(8, func(c docker.Container) []string { return []string{c.Name} }, "web-"),
		}
	})
	w.live, w.all = append(w.live, b), append(w.all, b)
	w.emit("container", "create", b.now(), nil)
	w.start(b)
}

func (w *world) start(b *box) {
	if b.now().Running {
		return
	}
	w.set(b, func(c *docker.Container) {
		c.Running, c.State, c.StartedAt = true, "running", w.now
		pid := w.free(processIDs, func(c docker.Container) []string { return []string{strconv.Itoa(c.PID)} }, "1")
		c.PID, _ = strconv.Atoi(pid) // made of digits
		c.Networks = []docker.Endpoint{w.endpoint(0)}
		if w.rng.IntN(3) == 0 {
			c.Networks = append(c.Networks, w.endpoint(1))
		}
	})
	for _, e := range b.now().Networks {
		w.emit("network", "connect", b.now(), map[string]string{"id": e.NetworkID})
	}
	w.emit("container", "start", b.now(), nil)
}

func (w *world) stop(b *box) {
	was := b.now()
	if !was.Running {
		return
	}
	w.set(b, func(c *docker.Container) {
		c.Running, c.State, c.PID = false, "exited", 0
		for i := range c.Networks {
			c.Networks[i].IPv4, c.Networks[i].ID = netip.Addr{}, ""
		}
	})
	w.emit("container", "die", b.now(), nil)
	for _, e := range was.Networks {
		w.emit("network", "disconnect", b.now(), map[string]string{"id": e.NetworkID})
	}
}

func (w *world) remove(b *box) {
	w.stop(b)
	b.states = append(b.states, state{at: w.now, gone: true, c: b.now()})
	w.emit("container", "destroy", b.now(), nil)
	w.live = slices.DeleteFunc(w.live, func(x *box) bool { return x == b })
}

func (w *world) rename(b *box) {
	old := b.now().Name
	w.set(b, func(c *docker.Container) {
		c.Name = w.free(8, func(c docker.Container) []string { return []string{c.Name} }, "web-")
	})
	w.emit("container", "rename", b.now(), map[string]string{"oldName": "/" + old})
}

// swapNames is what Compose does: the old one steps aside and the new one takes its name.
func (w *world) swapNames(b *box) {
	a := w.live[w.rng.IntN(len(w.live))]
	if a == b {
		return
	}
	name := b.now().Name
	w.set(b, func(c *docker.Container) { c.Name = "old-" + fmt.Sprint(w.serial, len(w.events)) })
	w.emit("container", "rename", b.now(), map[string]string{"oldName": "/" + name})
	w.now = w.now.Add(time.Duration(w.rng.IntN(3)) * time.Millisecond)
	old := a.now().Name
	w.set(a, func(c *docker.Container) { c.Name = name })
	w.emit("container", "rename", a.now(), map[string]string{"oldName": "/" + old})
}

func (w *world) disconnect(b *box) {
	if c := b.now(); !c.Running || len(c.Networks) == 0 {
		return
	}
	id := b.now().Networks[0].NetworkID
	w.set(b, func(c *docker.Container) { c.Networks = c.Networks[1:] })
	w.emit("network", "disconnect", b.now(), map[string]string{"id": id})
}

func (w *world) connect(b *box) {
	n := w.rng.IntN(2)
	c := b.now()
	if !c.Running || slices.ContainsFunc(c.Networks, func(e docker.Endpoint) bool { return e.NetworkID == networkName(n) }) {
		return
	}
	w.set(b, func(c *docker.Container) { c.Networks = append(c.Networks, w.endpoint(n)) })
	w.emit("network", "connect", b.now(), map[string]string{"id": networkName(n)})
}

func networkName(n int) string { return fmt.Sprintf("network%d", n) }

func (w *world) endpoint(network int) docker.Endpoint {
	text := w.free(addressesPerNetwork+8, func(c docker.Container) []string {
		var out []string
		for _, e := range c.Networks {
			out = append(out, e.IPv4.String())
		}
		return out
	}, fmt.Sprintf("10.0.%d.", network))
	w.serial++
	return docker.Endpoint{
		Network: networkName(network), NetworkID: networkName(network), ID: fmt.Sprintf("endpoint%d", w.serial), IPv4: netip.MustParseAddr(text),
	}
}

// free returns the first of a few values that no container uses.
func (w *world) free(few int, used func(docker.Container) []string, prefix string) string {
	for i := 1; ; i++ {
		value := fmt.Sprint(prefix, i)
		taken := slices.ContainsFunc(w.live, func(b *box) bool { return slices.Contains(used(b.now()), value) })
		if !taken {
			return value
		}
		if i > few+10 {
			panic("the world is too small")
		}
	}
}

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
	o.core.Gone(id, o.now)
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
	o.core.Complete(o.w.began)
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
	o.core.Lost(o.heard)
	o.query()
	o.now = o.now.Add(o.short(3 * time.Second))
	for o.next < len(o.w.events) && o.w.events[o.next].Time.Before(o.now) {
		o.next++
	}
	o.query()
	o.sync()
	o.core.Regained()
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
			o.check("address", truth.ID, func(c *inventory.Core) (inventory.Found, error) { return c.ByAddress(address, written, slack) })
		}
	case 1:
		if truth.Running {
			o.check("pid", truth.ID, func(c *inventory.Core) (inventory.Found, error) { return c.ByMainPID(truth.PID, written, slack) })
		}
	case 2:
		o.check("name", truth.ID, func(c *inventory.Core) (inventory.Found, error) { return c.ByName(truth.Name, written, slack) })
	}
}

func (o *observer) write(at time.Time) (time.Time, time.Duration) {
	if o.rng.IntN(3) == 0 {
		return at.Truncate(time.Second), time.Second // syslog
	}
	return at.Truncate(time.Millisecond), time.Millisecond
}

// check looks up as Inventory does: what is found and still so is asked about again.
func (o *observer) check(key, truth string, lookup func(*inventory.Core) (inventory.Found, error)) {
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
