package suite

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/daemon"
	"github.com/ironpost/ironpost/internal/edge"
)

// edgesName is the row of the hub's edges in health.
const edgesName = "edges"

// buildForwarder makes the forwarder of an edge.
func (a *app) buildForwarder(context.Context) (daemon.Module, error) {
	log := a.log.WithField("module", bus.Forwarder)
	hub, err := bus.FromBundle(a.cfg.Bus.HubBundle, bus.Edge, a.cfg.General.Host, a.cfg.Bus.Hub)
	if err != nil {
		return nil, fmt.Errorf("bus.hub_bundle: %w", err)
	}
	hub.Log = log
	reg := prometheus.NewRegistry()
	f, err := edge.New(edge.Deps{
		Bus: a.bus.modules[bus.Forwarder], Hub: hub, Host: a.cfg.General.Host, Version: Version(),
		Health: a.supervisor.Health, Log: log, Metrics: reg,
	})
	if err != nil {
		return nil, err
	}
	return &withMetrics{Module: f, expose: func() {
		a.registry.Use(bus.Forwarder, reg)
		a.bus.forwarder.Store(f)
	}}, nil
}
