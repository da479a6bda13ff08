package docker

import (
	"context"
	"fmt"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
)

// Pause freezes all processes of a container: POST /containers/{id}/pause. It returns
// ErrAlready for a paused container and ErrConflict for one that does not run.
func (c *Client) Pause(ctx context.Context, id string) error {
	return c.change(ctx, "pause", id, changeBudget, func(ctx context.Context, api *client.Client) error {
		return api.ContainerPause(ctx, id)
	})
}

// Unpause thaws a container: POST /containers/{id}/unpause. It returns ErrNotPaused for
// one that is not paused.
func (c *Client) Unpause(ctx context.Context, id string) error {
	return c.change(ctx, "unpause", id, changeBudget, func(ctx context.Context, api *client.Client) error {
		return api.ContainerUnpause(ctx, id)
	})
}

// Kill ends all processes at once with SIGKILL, also those of a paused container,
// without thawing them first: POST /containers/{id}/kill. It returns ErrConflict for a
// container that does not run.
func (c *Client) Kill(ctx context.Context, id string) error {
	return c.change(ctx, "kill", id, killBudget, func(ctx context.Context, api *client.Client) error {
		return api.ContainerKill(ctx, id, "SIGKILL")
	})
}

// Restart kills the processes, without a grace period, and starts the container; a
// stopped container is started: POST /containers/{id}/restart.
func (c *Client) Restart(ctx context.Context, id string) error {
	return c.change(ctx, "restart", id, killBudget, func(ctx context.Context, api *client.Client) error {
		now := 0
		return api.ContainerRestart(ctx, id, container.StopOptions{Timeout: &now})
	})
}

// SetRestartPolicy changes what Docker does when the container ends:
// POST /containers/{id}/update.
func (c *Client) SetRestartPolicy(ctx context.Context, id string, p RestartPolicy) error {
	return c.change(ctx, "update restart policy of", id, changeBudget, func(ctx context.Context, api *client.Client) error {
		policy := container.RestartPolicy{Name: container.RestartPolicyMode(p.Name), MaximumRetryCount: p.MaxRetries}
		_, err := api.ContainerUpdate(ctx, id, container.UpdateConfig{RestartPolicy: policy})
		return err
	})
}

// Disconnect takes a container off a network (an id, or Endpoint.Ref):
// POST /networks/{id}/disconnect. It returns ErrNotConnected if it is not on it.
func (c *Client) Disconnect(ctx context.Context, network, id string) error {
	if err := checkNetwork(network); err != nil {
		return classify(ctx, "disconnect", err)
	}
	return c.change(ctx, "disconnect", id, changeBudget, func(ctx context.Context, api *client.Client) error {
		return api.NetworkDisconnect(ctx, network, id, false)
	})
}

// Connect connects a container to a network as e describes it; the address only where
// e.Static asks for one: POST /networks/{id}/connect. It returns ErrAlready if it is
// connected.
func (c *Client) Connect(ctx context.Context, network, id string, e Endpoint) error {
	if err := checkNetwork(network); err != nil {
		return classify(ctx, "connect", err)
	}
	return c.change(ctx, "connect", id, changeBudget, func(ctx context.Context, api *client.Client) error {
		return api.NetworkConnect(ctx, network, id, e.settings())
	})
}

func (c *Client) change(ctx context.Context, verb, id string, budget time.Duration, fn func(context.Context, *client.Client) error) error {
	if err := checkContainer(id); err != nil {
		return classify(ctx, verb+" container", err)
	}
	return c.call(ctx, verb+" container", budget, fn)
}

func checkNetwork(id string) error {
	if networkRef.MatchString(id) {
		return nil
	}
	return fmt.Errorf("%w: %q is not the id or name of a network", ErrInvalid, id)
}
