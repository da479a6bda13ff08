package suite

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ironpost/ironpost/bus/embedded"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/backoff"
	"github.com/ironpost/ironpost/internal/metrics"
	"github.com/ironpost/ironpost/internal/sdnotify"
	"github.com/ironpost/ironpost/internal/task"
)

const (
	// startRoom is the free space without which a failed start is put down to a full disk.
	startRoom = 8 << 20
	// The waits between attempts to start on a full disk.
	firstRoomPause = time.Second
	roomPauseLimit = 10 * time.Second
)

// untilRoom calls start until it does not fail for want of space on the disk. Meanwhile the daemon is degraded and says so: in the log, on
// /healthz, and to systemd, for which it has started.
func (a *app) untilRoom(ctx context.Context, start func(context.Context) error) error {
	for attempt := 0; ; attempt++ {
		err := start(ctx)
		if err == nil || ctx.Err() != nil || !a.diskIsFull(err) {
			return err
		}
		reason := fmt.Sprintf("the disk of general.data_dir %s is full, waiting for space to start: %v", a.cfg.General.DataDir, err)
		a.log.WithField("reason", reason).Error("cannot start yet")
		if err := sdnotify.New(a.process.Getenv).Ready(reason); err != nil {
			a.log.WithError(err).Warn("systemd not notified")
		}
		a.waitDegraded(ctx, reason, backoff.Delay(attempt, firstRoomPause, roomPauseLimit))
	}
}

// diskIsFull reports whether a start failed because nothing can be written.
func (a *app) diskIsFull(err error) bool {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return true
	}
	for _, dir := range []string{a.cfg.General.DataDir, a.cfg.Bus.StoreDir} {
		if free, err := embedded.FreeSpace(dir); err == nil && free < startRoom {
			return true
		}
	}
	return false
}

// waitDegraded answers probes with reason for some time.
func (a *app) waitDegraded(ctx context.Context, reason string, pause time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, pause)
	defer cancel()
	notify := sdnotify.New(a.process.Getenv)
	group := task.New(ctx)
	group.Go("probes of a daemon that waits", func(ctx context.Context) error { return a.serveDegraded(ctx, reason) })
	for ctx.Err() == nil {
		if err := notify.Watchdog(); err != nil {
			a.log.WithError(err).Debug("systemd not notified")
		}
		task.Pause(ctx, time.Second)
	}
	if err := group.Wait(); err != nil {
		a.log.WithError(err).Debug("probes not served while the disk is full")
	}
}

func (a *app) serveDegraded(ctx context.Context, reason string) error {
	if !a.cfg.Metrics.Enabled {
		return nil
	}
	health := func(context.Context) event.DaemonHealth {
		now := time.Now().UTC()
		return event.DaemonHealth{
			Host: a.cfg.General.Host, Time: now, Version: Version(), Status: event.Degraded, UptimeSecs: uint64(time.Since(a.began).Seconds()),
			Modules: []event.ModuleHealth{{
				Name: busName, Host: a.cfg.General.Host, Enabled: true, Status: event.Degraded, Since: a.began.UTC(), Reasons: []string{reason},
			}},
		}
	}
	server, err := metrics.Listen(ctx, metrics.Options{
		Listen: a.process.Program.metricsListen(a.cfg.Metrics), Hosts: a.cfg.Metrics.Hosts, Gatherer: prometheus.NewRegistry(),
		Health: health, Ready: func() bool { return false }, Log: a.log,
	})
	if err != nil {
		return err
	}
	return server.Serve(ctx)
}
