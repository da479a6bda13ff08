package image_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/sbomscanner/image"
	"github.com/ironpost/ironpost/services/sbomscanner/inventory"
)

// folder returns an empty folder and a function that tells whether it is empty.
func folder(t *testing.T) (string, func()) {
	t.Helper()
	dir := t.TempDir()
	return dir, func() {
		left, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Empty(t, left, "the exported image is removed")
	}
}

func connect(t *testing.T, d *testenv.Docker) *docker.Client {
	t.Helper()
	byMethod := map[string]string{}
	for _, r := range docker.Allow(docker.FeatureImages) {
		byMethod[r.Method] = r.Pattern
	}
	c, err := docker.Connect(d.Proxy(t, byMethod).Socket)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func TestImagesOfRunningContainersAreScannedOnceEach(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	first := d.Run(t, testenv.ContainerOptions{Name: "web-1"})
	second := d.Run(t, testenv.ContainerOptions{Name: "web-2"})
	ended := d.Create(t, testenv.ContainerOptions{Name: "never-started"})
	dir, requireEmpty := folder(t)
	var archive string
	s, err := image.New(connect(t, d), image.Options{Folder: dir, Read: func(_ context.Context, path string) (*inventory.Inventory, error) {
		archive = strings.Join(members(t, path), " ")
		return &inventory.Inventory{Packages: []inventory.Package{{PURL: "pkg:npm/a@1"}}}, nil
	}})
	require.NoError(t, err)

	images, err := s.Images(t.Context())
	require.NoError(t, err)
	require.Len(t, images, 1)
	asset := images[0]
	require.Equal(t, inventory.Image, asset.Kind)
	require.Equal(t, testenv.DockerImage, asset.Name)
	require.Regexp(t, "^sha256:[0-9a-f]{64}$", asset.Digest)
	require.ElementsMatch(t, []event.Container{
		{ID: first, Name: "web-1", Image: testenv.DockerImage}, {ID: second, Name: "web-2", Image: testenv.DockerImage},
	}, asset.Containers)

	found, err := s.Scan(t.Context(), asset)
	require.NoError(t, err)
	require.Equal(t, asset, found.Asset)
	require.Equal(t, "pkg:npm/a@1", found.Packages[0].PURL)
	require.False(t, found.Time.IsZero(), "the image's creation")
	require.Contains(t, archive, "manifest.json")
	requireEmpty()

	for _, name := range []string{"web-1", first, first[:12]} {
		same, err := s.Container(t.Context(), name)
		require.NoError(t, err, name)
		require.Equal(t, asset, same)
	}
	one, err := s.Container(t.Context(), "never-started")
	require.NoError(t, err)
	require.Len(t, one.Containers, 3)
	require.Contains(t, one.Containers, event.Container{ID: ended, Name: "never-started", Image: testenv.DockerImage})
	_, err = s.Container(t.Context(), "web")
	require.ErrorContains(t, err, `there is no container "web"`)
}

func TestNothingStaysOfAScanThatFails(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	d.Run(t, testenv.ContainerOptions{})
	client := connect(t, d)
	dir, requireEmpty := folder(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "image-1.tar"), []byte("of a killed process"), 0o600))
	broken := errors.New("broken archive")
	s, err := image.New(client, image.Options{Folder: dir, Read: func(context.Context, string) (*inventory.Inventory, error) { return nil, broken }})
	require.NoError(t, err)
	requireEmpty()
	images, err := s.Images(t.Context())
	require.NoError(t, err)
	_, err = s.Scan(t.Context(), images[0])
	require.ErrorIs(t, err, broken)
	requireEmpty()

	ended, end := context.WithCancel(t.Context())
	end()
	_, err = s.Scan(ended, images[0])
	require.ErrorIs(t, err, context.Canceled)
	requireEmpty()

	made, err := client.Image(t.Context(), images[0].Digest)
	require.NoError(t, err)
	for _, limit := range []int64{made.Size - 1, made.Size + 1} { // refused by Docker's word, and while it is exported
		s, err = image.New(client, image.Options{Folder: dir, MaxBytes: limit})
		require.NoError(t, err)
		_, err = s.Scan(t.Context(), images[0])
		require.ErrorIs(t, err, docker.ErrTooLarge)
		requireEmpty()
	}
}

// members returns the names in a tar archive.
func members(t *testing.T, path string) []string {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	var names []string
	for in := tar.NewReader(bytes.NewReader(raw)); ; {
		h, err := in.Next()
		if err != nil {
			return names
		}
		names = append(names, h.Name)
	}
}
