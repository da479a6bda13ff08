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

// interfaceStats are the counts of one interface and what is attached to it. They outlive the watcher, so that counts do not go
// back when the interface comes again. Methods may be called concurrently.
type interfaceStats struct {
	mu      sync.Mutex
	watcher *watcher // nil while it is not watched
	ended   time.Time
	counts  interfaceSnapshot
}

// interfaceSnapshot is a copy of the values of an interfaceStats.
type interfaceSnapshot struct {
	name     string
	attached attachment

	totals     traffic.Counters
	promoted   int     // sources with a record of their own in the latest window
	unreadable uint64  // windows that could not be read
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

func (i *interfaceStats) setWatcher(w *watcher) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.watcher = w
	i.counts.attached, i.counts.promoted, i.counts.seconds, i.counts.detector = attachment{}, 0, 0, detect.Stats{}
	if w == nil {
		i.ended = time.Now()
		return
	}
	w.stats = i
	i.counts.attached = attachment{
		mode: w.link.Interface.Mode, fallback: w.link.Fallback, egress: w.egress != nil, noEgress: withPrefix("", w.noEgress),
	}
}

func (i *interfaceStats) addWindow(w *traffic.Window) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.counts.promoted = len(w.Sources)
	i.counts.totals.Add(&w.Totals)
}

func (i *interfaceStats) addUnreadable() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.counts.unreadable++
}

func (i *interfaceStats) setDetector(d detect.Stats) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.counts.detector = d
}

func (i *interfaceStats) setProgramTime(seconds float64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.counts.seconds = seconds
}

func (i *interfaceStats) snapshot() interfaceSnapshot {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.counts
}

func (i *interfaceStats) watchedBy() (w *watcher, ended time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.watcher, i.ended
}

// interfaceTable holds the stats of the interfaces seen since the start, at most maxInterfaces. Methods may be called concurrently.
type interfaceTable struct {
	configured []string // shown although they were never there

	mu        sync.Mutex
	byName    map[string]*interfaceStats
	forgotten map[string]uint64 // counters of those that are no longer kept, so that sums do not go back
}

func newInterfaceTable(configured []string) interfaceTable {
	configured = slices.DeleteFunc(slices.Clone(configured), func(name string) bool { return name == InterfaceAuto })
	return interfaceTable{configured: configured, byName: map[string]*interfaceStats{}, forgotten: map[string]uint64{}}
}

// setWatcher records that w, nil for none, watches the interface called name, and gives w the interface's stats.
func (t *interfaceTable) setWatcher(name string, w *watcher) {
	t.mu.Lock()
	defer t.mu.Unlock()
	stats := t.byName[name]
	if stats == nil {
		if len(t.byName) >= maxInterfaces {
			t.forgetOldest()
		}
		stats = &interfaceStats{counts: interfaceSnapshot{name: name}}
		t.byName[name] = stats
	}
	stats.setWatcher(w)
}

// forgetOldest removes the interface that has not been watched for the longest time. t.mu is held.
func (t *interfaceTable) forgetOldest() {
	oldest, since := "", time.Time{}
	for name, stats := range t.byName {
		if w, ended := stats.watchedBy(); w == nil && (oldest == "" || ended.Before(since)) {
			oldest, since = name, ended
		}
	}
	if oldest == "" {
		return // all are watched
	}
	counts := t.byName[oldest].snapshot()
	for name, n := range counts.counters() {
		t.forgotten[name] += n
	}
	delete(t.byName, oldest)
}

// all returns snapshots of all interfaces by name, and of the configured ones that were never there.
func (t *interfaceTable) all() []interfaceSnapshot {
	t.mu.Lock()
	byName := maps.Clone(t.byName)
	t.mu.Unlock()
	var out []interfaceSnapshot
	for _, stats := range byName {
		out = append(out, stats.snapshot())
	}
	for _, name := range t.configured {
		if byName[name] == nil {
			out = append(out, interfaceSnapshot{name: name})
		}
	}
	slices.SortFunc(out, func(a, b interfaceSnapshot) int { return strings.Compare(a.name, b.name) })
	return out
}

// sums returns the counters of the interfaces that are no longer kept.
func (t *interfaceTable) sums() map[string]uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.forgotten)
}

// watchers returns the watchers of the interfaces that are watched now.
func (t *interfaceTable) watchers() []*watcher {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []*watcher
	for _, stats := range t.byName {
		if w, _ := stats.watchedBy(); w != nil {
			out = append(out, w)
		}
	}
	return out
}
