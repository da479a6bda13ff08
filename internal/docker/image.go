package docker

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"
)

// Image is an image as Docker describes it.
type Image struct {
	ID      string    `json:"id"`                // sha256:… and 64 hex digits, as Container.ImageID
	Tags    []string  `json:"tags,omitempty"`    // references that name it now, such as nginx:1.27, sorted
	Digests []string  `json:"digests,omitempty"` // references by the registry's digest, sorted
	Created time.Time `json:"created"`           // zero if the image does not say
	Size    int64     `json:"size"`              // bytes of all its layers
}

var imageID = regexp.MustCompile(`^` + imagePattern + `$`)

// Image returns an image by its full id: GET /images/{id}/json.
func (c *Client) Image(ctx context.Context, id string) (Image, error) {
	const what = "inspect image"
	if err := checkImage(id); err != nil {
		return Image{}, classify(ctx, what, err)
	}
	var found Image
	err := c.call(ctx, what, readBudget, func(ctx context.Context, api *client.Client) error {
		r, err := api.ImageInspect(ctx, id)
		found = Image{ID: r.ID, Tags: slices.Sorted(slices.Values(r.RepoTags)), Digests: slices.Sorted(slices.Values(r.RepoDigests)), Created: parseTime(r.Created), Size: r.Size}
		return err
	})
	return found, err
}

// ExportImage writes an image, as docker save does, to w: a tar archive of its layers, its
// configuration and a manifest. It stops with ErrTooLarge after limit bytes. It has no time
// budget of its own, because an image may take minutes: ctx bounds it. GET /images/get.
func (c *Client) ExportImage(ctx context.Context, id string, limit int64, w io.Writer) error {
	const what = "export image"
	if err := checkImage(id); err != nil {
		return classify(ctx, what, err)
	}
	s, err := c.openTimed(ctx)
	if err != nil {
		return c.finish(ctx, s, what, err)
	}
	body, err := s.api.ImageSave(ctx, []string{id})
	if err != nil {
		return c.finish(ctx, s, what, err)
	}
	defer func() { _ = body.Close() }() // only read
	out := &writer{w: w}
	n, err := io.Copy(out, io.LimitReader(body, limit))
	if out.err != nil {
		return fmt.Errorf("docker %s: %w", what, out.err)
	}
	if err == nil && n == limit && more(body) {
		err = fmt.Errorf("%w: the archive is longer than %d bytes", ErrTooLarge, limit)
	}
	return c.finish(ctx, s, what, err)
}

// more reports whether r has another byte.
func more(r io.Reader) bool {
	n, _ := io.ReadFull(r, make([]byte, 1))
	return n > 0
}

// writer remembers its error, which is not one of Docker's.
type writer struct {
	w   io.Writer
	err error
}

// Write implements io.Writer.
func (w *writer) Write(p []byte) (int, error) {
	var n int
	n, w.err = w.w.Write(p)
	return n, w.err
}

// ImageEvents is Events for what changes the images that containers run: containers
// started, renamed and ended, images loaded, pulled, tagged and removed. Kind is container
// or image. An event of a container names the image by reference, so List must be asked for
// its id. GET /events.
func (c *Client) ImageEvents(ctx context.Context, ready func(), fn func(Event) error) error {
	wanted := filters.NewArgs(
		filters.Arg("type", string(events.ContainerEventType)),
		filters.Arg("type", string(events.ImageEventType)),
	)
	for _, action := range []events.Action{
		events.ActionStart, events.ActionRename, events.ActionDie,
		events.ActionPull, events.ActionLoad, events.ActionImport, events.ActionTag, events.ActionUnTag, events.ActionDelete,
	} {
		wanted.Add("event", string(action))
	}
	return c.watch(ctx, "watch images", events.ListOptions{Filters: wanted}, ready, fn)
}

func checkImage(id string) error {
	if imageID.MatchString(id) {
		return nil
	}
	return fmt.Errorf("%w: %q is not a full image id", ErrInvalid, id)
}
