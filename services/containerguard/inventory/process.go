package inventory

import (
	"context"
	"fmt"
	"time"
)

// processSlack is how inexact a process's start time is: the kernel counts steps of 10 ms.
const processSlack = 20 * time.Millisecond

// ByPID returns the container in which a process of the host ran throughout at±slack. A
// process that still runs, and is old enough to be the one meant, is found by its cgroup;
// any other only as the first process of its container.
func (v *Inventory) ByPID(ctx context.Context, pid int, at time.Time, slack time.Duration) (Result, error) {
	p, err := readProcess(pid)
	if err != nil {
		return v.confirmedLookup(ctx, func(c *Core) (Result, error) { return c.ByMainPID(pid, at, slack) })
	}
	key := fmt.Sprintf("process %d", pid)
	if p.started.After(at.Add(processSlack - slack)) {
		return Result{}, &LookupError{Key: key, Err: ErrUncertain}
	}
	if p.container == "" {
		return Result{}, &LookupError{Key: key, Err: ErrUnknown}
	}
	return v.confirmedLookup(ctx, func(c *Core) (Result, error) {
		found, err := c.ByID(p.container)
		if err == nil && !c.Running(found.Container.ID, at, slack) {
			err = &LookupError{Key: key, Candidates: []string{p.container}, Err: ErrUncertain}
		}
		return found, err
	})
}
