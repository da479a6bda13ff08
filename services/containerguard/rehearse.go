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

// Rehearse says what the policies of set, under cfg, would do about a at a time,
// without Docker and without a daemon: the container is taken to be what the alert
// says it is, and running. Caps, cooldowns and other containers are not known.
func Rehearse(ctx context.Context, cfg Config, set *policy.Set, a *event.Alert, at time.Time) []Verdict {
	j := &judge{
		set: set, inventory: paper{a}, protect: safety.NewProtections(safety.Self{}, cfg.Protected, nil),
		addresses: cfg.addresses(), maxAge: cfg.maxAge(), auto: cfg.AutoIsolate, now: at,
	}
	return shownVerdicts(j.alert(ctx, a))
}

// paper is an inventory of the one container that an alert names.
type paper struct{ alert *event.Alert }

func (p paper) container() (inventory.Found, error) {
	if p.alert.Container == nil {
		return inventory.Found{}, inventory.ErrUnknown
	}
	c := p.alert.Container
	id := c.ID
	if id == "" {
		id = strings.Repeat("0", 64)
	}
	return inventory.Found{Container: docker.Container{ID: id, Name: c.Name, Image: c.Image, Running: true}}, nil
}

// ByID implements attribution.Inventory.
func (p paper) ByID(string) (inventory.Found, error) { return p.container() }

// ByPID implements attribution.Inventory.
func (p paper) ByPID(context.Context, int, time.Time, time.Duration) (inventory.Found, error) {
	return p.container()
}

// ByAddress implements attribution.Inventory: on paper no container has an address.
func (p paper) ByAddress(context.Context, netip.Addr, time.Time, time.Duration) (inventory.Found, error) {
	return inventory.Found{}, inventory.ErrUnknown
}

// ByName implements attribution.Inventory.
func (p paper) ByName(context.Context, string, time.Time, time.Duration) (inventory.Found, error) {
	return p.container()
}

// List implements attribution.Inventory.
func (p paper) List() []docker.Container {
	found, err := p.container()
	if err != nil {
		return nil
	}
	return []docker.Container{found.Container}
}
