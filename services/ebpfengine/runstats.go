package ebpfengine

import (
	"context"
	"time"

	"github.com/cilium/ebpf"
)

const (
	// measureEvery and measureFor are when the kernel takes the program's time: seldom and briefly, because taking it costs
	// each packet as much as the program does.
	measureEvery = 15 * time.Second
	measureFor   = 150 * time.Millisecond
	// bpfStatsRunTime is BPF_STATS_RUN_TIME of linux/bpf.h.
	bpfStatsRunTime = 0
)

// measure keeps the views' time per packet up to date. A kernel that will not tell is no trouble.
func (s *Service) measure(ctx context.Context) error {
	for first := true; pause(ctx, measureEvery, first); first = false {
		on, err := ebpf.EnableStats(bpfStatsRunTime)
		if err != nil {
			continue
		}
		before := s.runs()
		pause(ctx, measureFor, false)
		for sen, b := range before {
			runs, took, err := sen.runStats()
			if err == nil && runs > b.runs {
				sen.view.took((took - b.took).Seconds() / float64(runs-b.runs))
			}
		}
		if err := on.Close(); err != nil {
			s.log.WithError(err).Warn("run statistics not switched off")
		}
	}
	return nil
}

// pause returns after d, or a second if soon, and whether ctx goes on.
func pause(ctx context.Context, d time.Duration, soon bool) bool {
	if soon {
		d = time.Second
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

type runs struct {
	runs uint64
	took time.Duration
}

// runs returns what each sensor's program has run so far.
func (s *Service) runs() map[*sensor]runs {
	out := map[*sensor]runs{}
	for _, sen := range s.sensors() {
		if n, took, err := sen.runStats(); err == nil {
			out[sen] = runs{runs: n, took: took}
		}
	}
	return out
}

func (s *Service) sensors() []*sensor {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*sensor
	for _, v := range s.views {
		v.mu.Lock()
		if v.sensor != nil {
			out = append(out, v.sensor)
		}
		v.mu.Unlock()
	}
	return out
}
