package docker

import (
	"context"
	"fmt"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
)

// Version is the version of dockerd and the negotiated API version.
type Version struct {
	Server string
	API    string
}

// Process is one row of Top: the columns of ps by title.
type Process map[string]string

// Change is a path that differs from the image; Kind is modified, added or deleted.
type Change struct {
	Kind string `json:"kind"`
	Path string `json:"path"`
}

// Ping checks that dockerd answers: HEAD /_ping (GET where a proxy refuses HEAD).
func (c *Client) Ping(ctx context.Context) error {
	return c.call(ctx, "ping", readBudget, func(ctx context.Context, api *client.Client) error {
		_, err := api.Ping(ctx)
		return err
	})
}

// Version returns the version of dockerd: GET /version.
func (c *Client) Version(ctx context.Context) (Version, error) {
	var v Version
	err := c.call(ctx, "version", readBudget, func(ctx context.Context, api *client.Client) error {
		r, err := api.ServerVersion(ctx)
		v = Version{Server: r.Version, API: api.ClientVersion()}
		return err
	})
	return v, err
}

// List returns all containers, running or not, without the fields that need an Inspect:
// GET /containers/json.
func (c *Client) List(ctx context.Context) ([]Container, error) {
	var out []Container
	err := c.call(ctx, "list containers", readBudget, func(ctx context.Context, api *client.Client) error {
		rows, err := api.ContainerList(ctx, container.ListOptions{All: true})
		for _, row := range rows {
			out = append(out, fromSummary(row))
		}
		return err
	})
	return out, err
}

// Inspect returns a container, and Docker's response as it came. Labels that come from its image do not count
// (see TrustImageLabels) and are in ImageLabels; of an image that does not exist any more, and was not asked for
// before, all do. GET /containers/{id}/json, and once for each image GET /images/{id}/json.
func (c *Client) Inspect(ctx context.Context, id string) (Container, []byte, error) {
	var found Container
	var raw []byte
	err := c.onContainer(ctx, "inspect container", id, func(ctx context.Context, api *client.Client) error {
		r, b, err := api.ContainerInspectWithRaw(ctx, id, false)
		if err == nil {
			found, raw = fromInspect(r), b
		}
		return err
	})
	if err == nil {
		found, err = c.withoutImageLabels(ctx, found)
	}
	return found, raw, err
}

// Top returns the processes of a running or paused container:
// GET /containers/{id}/top.
func (c *Client) Top(ctx context.Context, id string) ([]Process, error) {
	var out []Process
	err := c.onContainer(ctx, "list processes", id, func(ctx context.Context, api *client.Client) error {
		r, err := api.ContainerTop(ctx, id, nil)
		for _, row := range r.Processes {
			p := Process{}
			for i := range min(len(row), len(r.Titles)) {
				p[r.Titles[i]] = row[i]
			}
			out = append(out, p)
		}
		return err
	})
	return out, err
}

// Diff returns the container's files that differ from its image:
// GET /containers/{id}/changes.
func (c *Client) Diff(ctx context.Context, id string) ([]Change, error) {
	kinds := map[container.ChangeType]string{container.ChangeModify: "modified", container.ChangeAdd: "added", container.ChangeDelete: "deleted"}
	var out []Change
	err := c.onContainer(ctx, "list changes", id, func(ctx context.Context, api *client.Client) error {
		rows, err := api.ContainerDiff(ctx, id)
		for _, row := range rows {
			out = append(out, Change{Kind: kinds[row.Kind], Path: row.Path})
		}
		return err
	})
	return out, err
}

// onContainer is call for one container, which must be named by full id.
func (c *Client) onContainer(ctx context.Context, what, id string, fn func(context.Context, *client.Client) error) error {
	if err := checkContainer(id); err != nil {
		return classify(ctx, what, err)
	}
	return c.call(ctx, what, readBudget, fn)
}

func checkContainer(id string) error {
	if fullID.MatchString(id) {
		return nil
	}
	return fmt.Errorf("%w: %q is not a full container id", ErrInvalid, id)
}
