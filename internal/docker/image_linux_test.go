package docker_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/testenv"
)

func TestImagesAreExportedThroughTheirOwnProxy(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	d := testenv.Dockerd(t)
	p, c := connectThroughProxy(t, d, docker.Allow(docker.FeatureImages))
	watch, stop := context.WithCancel(ctx)
	events, watched, ready := make(chan docker.Event, 256), make(chan error, 1), make(chan struct{})
	go func() {
		watched <- c.ImageEvents(watch, func() { close(ready) }, func(e docker.Event) error { events <- e; return nil })
	}()
	<-ready
	id := d.Run(t, testenv.ContainerOptions{Name: "web"})
	d.Do(t, "POST", "/images/"+testenv.DockerImage+"/tag?repo=shop&tag=1", nil, nil)
	requireEvents(t, events, "start", "tag")
	stop()
	require.ErrorIs(t, <-watched, context.Canceled)

	all, err := c.List(ctx)
	require.NoError(t, err)
	image, err := c.Image(ctx, all[0].ImageID)
	require.NoError(t, err)
	require.Equal(t, []string{testenv.DockerImage, "shop:1"}, image.Tags)
	require.False(t, image.Created.IsZero())
	require.Positive(t, image.Size)

	var archive bytes.Buffer
	require.NoError(t, c.ExportImage(ctx, image.ID, 64<<20, &archive))
	size := int64(archive.Len())
	require.Contains(t, manifestOf(t, &archive), strings.TrimPrefix(image.ID, "sha256:"))
	require.NoError(t, c.ExportImage(ctx, image.ID, size, io.Discard), "the limit itself is allowed")
	archive.Reset()
	require.ErrorIs(t, c.ExportImage(ctx, image.ID, size-1, &archive), docker.ErrTooLarge)
	require.EqualValues(t, size-1, archive.Len())
	_, err = c.Image(ctx, "sha256:"+strings.Repeat("0", 64))
	require.ErrorIs(t, err, docker.ErrNotFound)
	require.ErrorIs(t, c.ExportImage(ctx, testenv.DockerImage, 1, io.Discard), docker.ErrInvalid, "images are named by full id")
	full := errors.New("the disk is full")
	require.ErrorIs(t, c.ExportImage(ctx, image.ID, size, failingWriter{full}), full)
	ended, end := context.WithCancel(ctx)
	end()
	require.ErrorIs(t, c.ExportImage(ended, image.ID, size, io.Discard), context.Canceled)

	seen, denied := p.Calls()
	require.Empty(t, denied)
	require.Equal(t, map[string]bool{
		"HEAD /_ping": true, "GET /events": true, "GET /containers/json": true, "GET /images/{id}/json": true, "GET /images/get": true,
	}, seen)
	_, _, err = c.Inspect(ctx, id)
	require.ErrorIs(t, err, docker.ErrForbidden, "the scanner's proxy allows nothing else")
	require.ErrorIs(t, c.Pause(ctx, id), docker.ErrForbidden)

	_, guard := connectThroughProxy(t, d, docker.Allow())
	require.ErrorIs(t, guard.ExportImage(ctx, image.ID, size, io.Discard), docker.ErrForbidden, "the guard's proxy exports nothing")
}

// manifestOf returns the path of the configuration in a docker save archive.
func manifestOf(t *testing.T, archive io.Reader) string {
	t.Helper()
	for in := tar.NewReader(archive); ; {
		h, err := in.Next()
		require.NoError(t, err, "no manifest.json")
		if h.Name == "manifest.json" {
			var m []struct{ Config string }
			require.NoError(t, json.NewDecoder(in).Decode(&m))
			require.Len(t, m, 1)
			return m[0].Config
		}
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }
