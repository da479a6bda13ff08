package docker

import (
	"context"
	"fmt"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
)

// Pause freezes all processes of a container: POST /containers/{id}/pause.
// Pausing a paused one is ErrAlready, one that does not run ErrConflict.
func (c *Client) Pause(ctx context.Context, id string) error {
	return c.act(ctx, "pause", id, actBudget, func(ctx context.Context, api *client.Client) error {
		return api.ContainerPause(ctx, id)
	})
}

// Unpause thaws a container: POST /containers/{id}/unpause. One that is not
// paused is ErrNotPaused.
func (c *Client) Unpause(ctx context.Context, id string) error {
	return c.act(ctx, "unpause", id, actBudget, func(ctx context.Context, api *client.Client) error {
		return api.ContainerUnpause(ctx, id)
	})
}

// Kill ends all processes at once with SIGKILL, also of a paused container,
// without thawing it first: POST /containers/{id}/kill. One that does not run is
// ErrConflict.
func (c *Client) Kill(ctx context.Context, id string) error {
	return c.act(ctx, "kill", id, killBudget, func(ctx context.Context, api *client.Client) error {
		return api.ContainerKill(ctx, id, "SIGKILL")
	})
}

// Restart kills the processes, without grace, and starts the container; a
// stopped one is started: POST /containers/{id}/restart.
func (c *Client) Restart(ctx context.Context, id string) error {
	return c.act(ctx, "restart", id, killBudget, func(ctx context.Context, api *client.Client) error {
		now := 0
		return api.ContainerRestart(ctx, id, container.StopOptions{Timeout: &now})
	})
}

// SetRestartPolicy changes what the engine does when the container ends:
// POST /containers/{id}/update.
func (c *Client) SetRestartPolicy(ctx context.Context, id string, p RestartPolicy) error {
	return c.act(ctx, "update restart policy of", id, actBudget, func(ctx context.Context, api *client.Client) error {
		policy := container.RestartPolicy{Name: container.RestartPolicyMode(p.Name), MaximumRetryCount: p.MaxRetries}
		_, err := api.ContainerUpdate(ctx, id, container.UpdateConfig{RestartPolicy: policy})
		return err
	})
}

// Disconnect takes a container off a network (its id, or Endpoint.Ref): POST /networks/{id}/disconnect.
// One that is not on it is ErrNotConnected.
func (c *Client) Disconnect(ctx context.Context, network, id string) error {
	if err := wantNetwork(network); err != nil {
		return classify(ctx, "disconnect", err)
	}
	return c.act(ctx, "disconnect", id, actBudget, func(ctx context.Context, api *client.Client) error {
		return api.NetworkDisconnect(ctx, network, id, false)
	})
}

// Connect puts a container on a network as e describes it, its address only
// where e.Static asks for one: POST /networks/{id}/connect. One that is on it
// already is ErrAlready.
func (c *Client) Connect(ctx context.Context, network, id string, e Endpoint) error {
	if err := wantNetwork(network); err != nil {
		return classify(ctx, "connect", err)
	}
	return c.act(ctx, "connect", id, actBudget, func(ctx context.Context, api *client.Client) error {
		return api.NetworkConnect(ctx, network, id, e.settings())
	})
}

func (c *Client) act(ctx context.Context, verb, id string, budget time.Duration, fn func(context.Context, *client.Client) error) error {
	if err := wantID(id); err != nil {
		return classify(ctx, verb+" container", err)
	}
	return c.call(ctx, verb+" container", budget, fn)
}

func wantNetwork(id string) error {
	if networkRef.MatchString(id) {
		return nil
	}
	return fmt.Errorf("%w: %q is not a network's id or name", ErrInvalid, id)
}
