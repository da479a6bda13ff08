package ebpfengine

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ironpost/ironpost/bpf/traffic"
	"github.com/ironpost/ironpost/services/ebpfengine/attach"
	"github.com/ironpost/ironpost/services/ebpfengine/detect"
)

// maxInterfaces bounds the interfaces whose counts are kept: with interface = "auto", a link that is made again and again may have
// another name each time.
const maxInterfaces = 64

// interfaceState is the counts of one interface, and how the programs are attached to it.
type interfaceState struct {
	name     string
	ended    time.Time // when it was last watched
	attached attachment

	totals     traffic.Counters
	promoted   int     // sources with a record of their own in the latest window
	unreadable uint64  // windows that could not be read
	muted      uint64  // detections of allowed actors
	seconds    float64 // a packet takes in the program, 0 while unknown
	detector   detect.Stats
}

// attachment is how the programs are attached to an interface; the zero value is not at all.
type attachment struct {
	mode     attach.Mode
	fallback string // why it is not the preferred mode, "" if it is
	egress   bool
	noEgress string // why
}

// interfaceTable holds the states of the interfaces seen since the start: those that are watched, and others up to maxInterfaces.
// Counts outlive the watcher, so that they do not go back when the interface comes again. Methods may be called concurrently.
type interfaceTable struct {
	configured []string // shown although they were never there

	mu        sync.Mutex
	byName    map[string]*interfaceState
	watchers  map[string]*watcher
	forgotten map[string]uint64 // counters of those that are no longer kept, so that sums do not go back
}

func newInterfaceTable(configured []string) interfaceTable {
	return interfaceTable{
		configured: slices.DeleteFunc(slices.Clone(configured), func(name string) bool { return name == InterfaceAuto }),
		byName:     map[string]*interfaceState{}, watchers: map[string]*watcher{}, forgotten: map[string]uint64{},
	}
}

// setWatched records that w watches its interface.
func (t *interfaceTable) setWatched(w *watcher) {
	at := attachment{
		mode: w.link.Interface.Mode, fallback: w.link.Fallback, egress: w.egress != nil, noEgress: withPrefix("", w.noEgress),
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watchers[w.on.Name] = w
	t.state(w.on.Name).attached = at
}

// setUnwatched records that the interface called name is not watched.
func (t *interfaceTable) setUnwatched(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.watchers, name)
	i := t.state(name)
	i.ended, i.attached, i.promoted, i.seconds, i.detector = time.Now(), attachment{}, 0, 0, detect.Stats{}
}

// update calls change with the state of the interface called name.
func (t *interfaceTable) update(name string, change func(*interfaceState)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(t.state(name))
}

// state returns the state of an interface, a new one if needed. t.mu is held.
func (t *interfaceTable) state(name string) *interfaceState {
	if t.byName[name] == nil {
		if len(t.byName) >= maxInterfaces {
			t.forgetOldest()
		}
		t.byName[name] = &interfaceState{name: name}
	}
	return t.byName[name]
}

// forgetOldest removes the interface that has not been watched for the longest time, if there is one. t.mu is held.
func (t *interfaceTable) forgetOldest() {
	var oldest *interfaceState
	for name, i := range t.byName {
		if t.watchers[name] == nil && (oldest == nil || i.ended.Before(oldest.ended)) {
			oldest = i
		}
	}
	if oldest == nil {
		return
	}
	for name, n := range oldest.counters() {
		t.forgotten[name] += n
	}
	delete(t.byName, oldest.name)
}

// all returns copies of all states by name, including configured interfaces that were never there, and the counters of the
// interfaces that are no longer kept.
func (t *interfaceTable) all() (states []interfaceState, forgotten map[string]uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, i := range t.byName {
		states = append(states, *i)
	}
	for _, name := range t.configured {
		if t.byName[name] == nil {
			states = append(states, interfaceState{name: name})
		}
	}
	slices.SortFunc(states, func(a, b interfaceState) int { return strings.Compare(a.name, b.name) })
	return states, maps.Clone(t.forgotten)
}

// watching returns the watchers of the interfaces that are watched now.
func (t *interfaceTable) watching() []*watcher {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Values(t.watchers))
}
