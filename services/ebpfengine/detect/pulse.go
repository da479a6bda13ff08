package detect

import "time"

const (
	// pauseMemory is within which time a flood that comes again is the same one, in pulses.
	pauseMemory = 5 * time.Minute
	// maxPause bounds how long a flood in pulses waits for the next one before it is over.
	maxPause = 2 * time.Minute
	// maxPaused bounds the floods in memory that are over.
	maxPaused = 1024
)

// pausedFlood is a flood that was over at some time and may come again.
type pausedFlood struct {
	*flood

	until time.Time
}

// pause remembers a flood that has ended.
func (f *floods) pause(fl *flood) {
	if fl.records > 0 && len(f.paused) < maxPaused {
		f.paused[fl.identity] = pausedFlood{flood: fl, until: fl.last.Add(pauseMemory)}
	}
}

func (f *floods) forgetPaused(now time.Time) {
	for id, p := range f.paused {
		if now.After(p.until) {
			delete(f.paused, id)
		}
	}
}

// resume goes on with a flood that came again, and waits longer for the next pulse: it comes about as late as this one.
func (fl *flood) resume(p pausedFlood, now time.Time) {
	pause := now.Sub(p.last)
	fl.attack.began, fl.counts, fl.ports, fl.hosts, fl.missing = p.attack.began, p.counts, p.ports, p.hosts, p.missing
	fl.sources, fl.origin, fl.records, fl.evictedBefore = p.sources, p.origin, p.records, p.evictedBefore
	fl.countPulse()
	fl.idle = min(max(floodIdle, p.idle, 2*pause), maxPause)
}

func (fl *flood) countPulse() { fl.counts[countPulses] = max(1, fl.counts[countPulses]) + 1 }
