package ebpfengine

import (
	"context"
	"time"

	"github.com/cilium/ebpf"

	"github.com/ironpost/ironpost/internal/task"
)

const (
	// The kernel measures the program's time seldom and briefly, because that costs each packet as much as the program does.
	firstMeasurement    = time.Second
	measurementInterval = 15 * time.Second
	measurementTime     = 150 * time.Millisecond
	// bpfStatsRunTime is BPF_STATS_RUN_TIME of linux/bpf.h.
	bpfStatsRunTime = 0
)

// programRuns is how often a program has run and how long that took.
type programRuns struct {
	n    uint64
	took time.Duration
}

// measureProgramTime keeps the time per packet in the interfaces' stats up to date until ctx ends. Without statistics of the
// kernel, which need Linux 5.8 and CAP_SYS_ADMIN, the time stays unknown.
func (s *Service) measureProgramTime(ctx context.Context) error {
	for wait := firstMeasurement; ; wait = measurementInterval {
		task.Pause(ctx, wait)
		if ctx.Err() != nil {
			return nil
		}
		enabled, err := ebpf.EnableStats(bpfStatsRunTime)
		if err != nil {
			continue
		}
		before := map[*watcher]programRuns{}
		for _, w := range s.interfaces.watching() {
			if runs, err := w.programRuns(); err == nil {
				before[w] = runs
			}
		}
		task.Pause(ctx, measurementTime)
		for w, b := range before {
			if runs, err := w.programRuns(); err == nil && runs.n > b.n {
				perPacket := (runs.took - b.took).Seconds() / float64(runs.n-b.n)
				s.interfaces.update(w.on.Name, func(i *interfaceState) { i.seconds = perPacket })
			}
		}
		if err := enabled.Close(); err != nil {
			s.log.WithError(err).Warn("cannot switch the kernel's run statistics off")
		}
	}
}
