package containerguard

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/services/containerguard/inventory"
	"github.com/ironpost/ironpost/services/containerguard/policy"
	"github.com/ironpost/ironpost/services/containerguard/safety"
)

// DryRun says what the policies of set, under cfg, would do about a at a time,
// without Docker and without a daemon: the container is taken to be what the alert
// says it is, and running. Caps, cooldowns and other containers are not known.
func DryRun(ctx context.Context, cfg Config, set *policy.Set, a *event.Alert, at time.Time) []PolicyDecision {
	j := &evaluator{
		set: set, inventory: alertInventory{a}, protect: safety.NewProtections(safety.Self{}, cfg.Protected, nil),
		addresses: cfg.addresses(), maxAge: cfg.maxAge(), auto: cfg.AutoIsolate, now: at,
	}
	return publicDecisions(j.alert(ctx, a))
}

// alertInventory is an inventory of the one container that an alert names.
type alertInventory struct{ alert *event.Alert }

func (p alertInventory) container() (inventory.Result, error) {
	if p.alert.Container == nil {
		return inventory.Result{}, inventory.ErrUnknown
	}
	c := p.alert.Container
	id := c.ID
	if id == "" {
		id = strings.Repeat("0", 64)
	}
	return inventory.Result{Container: docker.Container{ID: id, Name: c.Name, Image: c.Image, Running: true}}, nil
}

// ByID implements attribution.Inventory.
func (p alertInventory) ByID(string) (inventory.Result, error) { return p.container() }

// ByPID implements attribution.Inventory.
func (p alertInventory) ByPID(context.Context, int, time.Time, time.Duration) (inventory.Result, error) {
	return p.container()
}

// ByAddress implements attribution.Inventory: on paper no container has an address.
func (p alertInventory) ByAddress(context.Context, netip.Addr, time.Time, time.Duration) (inventory.Result, error) {
	return inventory.Result{}, inventory.ErrUnknown
}

// ByName implements attribution.Inventory.
func (p alertInventory) ByName(context.Context, string, time.Time, time.Duration) (inventory.Result, error) {
	return p.container()
}

// List implements attribution.Inventory.
func (p alertInventory) List() []docker.Container {
	found, err := p.container()
	if err != nil {
		return nil
	}
	return []docker.Container{found.Container}
}
