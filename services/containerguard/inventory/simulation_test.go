package inventory_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/ironpost/ironpost/internal/docker"
)

// The bounds of a simulated Docker. Addresses, process ids and names are few, and given to
// the next container, as Docker does with addresses.
const (
	addressesPerNetwork = 4
	processIDs          = 5
	eventLag            = 20 * time.Millisecond // how late an event may be stamped
	deliveryLag         = 60 * time.Millisecond // how late it may be read after that
)

// simulation is the whole history of a simulated Docker.
type simulation struct {
	rng    *rand.Rand
	now    time.Time
	began  time.Time
	live   []*history
	all    []*history
	events []docker.Event
	serial int
}

// history is a container over time.
type history struct {
	states []state // each since its time
}

type state struct {
	at   time.Time
	gone bool
	c    docker.Container
}

func (h *history) at(t time.Time) (docker.Container, bool) {
	for _, s := range slices.Backward(h.states) {
		if !s.at.After(t) {
			return s.c, !s.gone
		}
	}
	return docker.Container{}, false
}

func (h *history) now() docker.Container { return h.states[len(h.states)-1].c }

func newSimulation(seed uint64) *simulation {
	w := &simulation{rng: rand.New(rand.NewPCG(seed, 1)), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	w.began = w.now
	for range 60 {
		w.now = w.now.Add(w.pause())
		w.step()
	}
	w.now = w.now.Add(time.Second)
	slices.SortStableFunc(w.events, func(a, b docker.Event) int { return a.Time.Compare(b.Time) })
	return w
}

// pause is often almost nothing, so that the next container takes what the last one had.
func (w *simulation) pause() time.Duration {
	if w.rng.IntN(3) == 0 {
		return time.Duration(w.rng.IntN(2000)) * time.Microsecond
	}
	return time.Duration(w.rng.IntN(1500)) * time.Millisecond
}

func (w *simulation) step() {
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

func (w *simulation) set(b *history, change func(*docker.Container)) {
	c := docker.Container{}
	if len(b.states) > 0 {
		c = b.now()
		c.Networks = slices.Clone(c.Networks)
	}
	change(&c)
	b.states = append(b.states, state{at: w.now, c: c})
}

func (w *simulation) emit(kind, action string, c docker.Container, attributes map[string]string) {
	e := docker.Event{Time: w.now.Add(time.Duration(w.rng.Int64N(int64(eventLag)))), Kind: kind, Action: action, Container: c.ID, Attributes: attributes}
	if kind == "container" {
		e.Name, e.Image = c.Name, c.Image
	} else {
		e.NetworkID = attributes["id"]
	}
	if n := len(w.events); n > 0 && e.Time.Before(w.events[n-1].Time) {
		e.Time = w.events[n-1].Time // stamps are in order
	}
	w.events = append(w.events, e)
}

func (w *simulation) create() {
	w.serial++
	b := &history{}
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

func (w *simulation) start(b *history) {
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

func (w *simulation) stop(b *history) {
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

func (w *simulation) remove(b *history) {
	w.stop(b)
	b.states = append(b.states, state{at: w.now, gone: true, c: b.now()})
	w.emit("container", "destroy", b.now(), nil)
	w.live = slices.DeleteFunc(w.live, func(x *history) bool { return x == b })
}

func (w *simulation) rename(b *history) {
	old := b.now().Name
	w.set(b, func(c *docker.Container) {
		c.Name = w.free(8, func(c docker.Container) []string { return []string{c.Name} }, "web-")
	})
	w.emit("container", "rename", b.now(), map[string]string{"oldName": "/" + old})
}

// swapNames does as Compose: it renames the old container and gives its name to the new one.
func (w *simulation) swapNames(b *history) {
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

func (w *simulation) disconnect(b *history) {
	if c := b.now(); !c.Running || len(c.Networks) == 0 {
		return
	}
	id := b.now().Networks[0].NetworkID
	w.set(b, func(c *docker.Container) { c.Networks = c.Networks[1:] })
	w.emit("network", "disconnect", b.now(), map[string]string{"id": id})
}

func (w *simulation) connect(b *history) {
	n := w.rng.IntN(2)
	c := b.now()
	if !c.Running || slices.ContainsFunc(c.Networks, func(e docker.Endpoint) bool { return e.NetworkID == networkName(n) }) {
		return
	}
	w.set(b, func(c *docker.Container) { c.Networks = append(c.Networks, w.endpoint(n)) })
	w.emit("network", "connect", b.now(), map[string]string{"id": networkName(n)})
}

func networkName(n int) string { return fmt.Sprintf("network%d", n) }

func (w *simulation) endpoint(network int) docker.Endpoint {
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
func (w *simulation) free(few int, used func(docker.Container) []string, prefix string) string {
	for i := 1; ; i++ {
		value := fmt.Sprint(prefix, i)
		taken := slices.ContainsFunc(w.live, func(b *history) bool { return slices.Contains(used(b.now()), value) })
		if !taken {
			return value
		}
		if i > few+10 {
			panic("no free value left")
		}
	}
}
