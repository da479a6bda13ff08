package docker

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"strings"
	"sync"

	"github.com/docker/docker/client"

	"github.com/ironpost/ironpost/internal/glob"
)

// Labels of a container that its image brings are the words of whoever built the image. They do not count, unless
// the operator trusts the image: it could give itself immunity, hide its log, or take the place of another service.
// Docker does not say which labels those are, so they are found by comparing with the image's. A label that was given
// to the container with the value that it has in the image counts as the image's.

// maxLabelImages bounds the images whose labels are remembered; beyond it all are forgotten and asked for again.
const maxLabelImages = 1024

// composeLabels starts the labels of Docker Compose. Compose gives an image that it builds the project and the
// service, too, but the number and the hash of the configuration to containers alone: if one of them was given to the
// container, Compose made it, and gave it all of them.
const composeLabels = "com.docker.compose."

// imageLabels are the labels of images.
type imageLabels struct {
	mu      sync.Mutex
	seed    maphash.Seed
	trusted []string                       // patterns of image names
	known   map[string]map[uint64]struct{} // hashes of the labels, by image id
}

// TrustImageLabels says whose labels count like those that were given to a container: those of images with a name,
// as the container was made with, that matches one of patterns (see package glob). It may be called at any time.
func (c *Client) TrustImageLabels(patterns []string) {
	c.labels.mu.Lock()
	defer c.labels.mu.Unlock()
	c.labels.trusted = slices.Clone(patterns)
}

// withoutImageLabels returns a container without the labels that come from its image, which are in ImageLabels then,
// unless the image is trusted.
func (c *Client) withoutImageLabels(ctx context.Context, of Container) (Container, error) {
	if len(of.Labels) == 0 || c.labels.trusts(of.Image) {
		return of, nil
	}
	fromImage, err := c.labelsOf(ctx, of.ImageID)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Container{}, err
	}
	byImage := func(key, value string) bool {
		_, has := fromImage[c.labels.hash(key, value)]
		return has || err != nil
	}
	given, ignored := map[string]string{}, map[string]string{}
	byCompose := false
	for key, value := range of.Labels {
		byCompose = byCompose || strings.HasPrefix(key, composeLabels) && !byImage(key, value)
	}
	for key, value := range of.Labels {
		if byImage(key, value) && !(byCompose && strings.HasPrefix(key, composeLabels)) {
			ignored[key] = value
		} else {
			given[key] = value
		}
	}
	of.Labels, of.ImageLabels = given, ignored
	of.Project, of.Service = given[composeProject], given[composeService]
	return of, nil
}

// labelsOf returns the hashes of the labels of an image.
func (c *Client) labelsOf(ctx context.Context, id string) (map[uint64]struct{}, error) {
	if fullID.MatchString(id) { // as Podman writes it
		id = "sha256:" + id
	}
	c.labels.mu.Lock()
	labels, known := c.labels.known[id]
	c.labels.mu.Unlock()
	if known {
		return labels, nil
	}
	const what = "inspect image"
	if err := checkImage(id); err != nil {
		return nil, ErrNotFound
	}
	err := c.call(ctx, what, readBudget, func(ctx context.Context, api *client.Client) error {
		r, err := api.ImageInspect(ctx, id)
		labels = map[uint64]struct{}{}
		if err == nil && r.Config != nil {
			for key, value := range r.Config.Labels {
				labels[c.labels.hash(key, value)] = struct{}{}
			}
		}
		return err
	})
	if err == nil {
		c.labels.remember(id, labels)
	}
	return labels, err
}

func (l *imageLabels) trusts(image string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.trusted, func(pattern string) bool { return glob.Match(pattern, image) })
}

func (l *imageLabels) remember(id string, labels map[uint64]struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.known) >= maxLabelImages {
		clear(l.known)
	}
	l.known[id] = labels
}

// hash identifies a label with its value: images may bring megabytes of them.
func (l *imageLabels) hash(key, value string) uint64 {
	var h maphash.Hash
	h.SetSeed(l.seed)
	_, _ = h.WriteString(key) // never fails
	_ = h.WriteByte(0)
	_, _ = h.WriteString(value)
	return h.Sum64()
}
