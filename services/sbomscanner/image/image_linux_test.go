package image_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/sbomscanner/extract"
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
	c, err := docker.Connect(d.Proxy(t, docker.Allow(docker.FeatureImages)).Socket)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// lock is what npm writes about an application that needs lodash.
const lock = `{"name":"shop","version":"1.0.0","lockfileVersion":3,"packages":{"":{"name":"shop","version":"1.0.0","dependencies":{"lodash":"^4"}},"node_modules/lodash":{"version":"4.17.20","license":"MIT"}}}`

// installed is Alpine's list of packages.
const installed = "P:zlib\nV:1.2.13-r0\nA:x86_64\no:zlib\nL:Zlib\n\n"

// shop makes the image shop:1: the test image and one layer with an application.
func shop(t *testing.T, d *testenv.Docker) {
	t.Helper()
	id := d.Run(t, testenv.ContainerOptions{})
	write := func(path, text string) {
		out := d.Exec(t, id, "/bin/sh", "-c", "mkdir -p $(dirname "+path+") && printf '%s' '"+text+"' > "+path+" && echo written")
		require.Equal(t, "written\n", out)
	}
	write("/app/package-lock.json", lock)
	write("/lib/apk/db/installed", installed)
	write("/etc/os-release", "ID=alpine\nVERSION_ID=3.18.4\n")
	d.Do(t, "POST", "/commit?container="+id+"&repo=shop&tag=1", map[string]any{}, nil)
	d.Remove(t, id)
}

func TestImagesOfRunningContainersAreScannedOnceEach(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	shop(t, d)
	first := d.Run(t, testenv.ContainerOptions{Name: "web-1", Image: "shop:1"})
	second := d.Run(t, testenv.ContainerOptions{Name: "web-2", Image: "shop:1"})
	other := d.Create(t, testenv.ContainerOptions{Name: "never-started"})
	dir, requireEmpty := folder(t)
	reader, err := extract.New(extract.Options{TempDir: dir})
	require.NoError(t, err)
	s, err := image.New(connect(t, d), image.Options{Folder: dir, Read: reader.ImageArchive})
	require.NoError(t, err)

	images, err := s.Images(t.Context())
	require.NoError(t, err)
	require.Len(t, images, 1, "nothing runs the other image")
	asset := images[0]
	require.Equal(t, inventory.Image, asset.Kind)
	require.Equal(t, "shop:1", asset.Name)
	require.Regexp(t, "^sha256:[0-9a-f]{64}$", asset.Digest)
	require.ElementsMatch(t, []event.Container{{ID: first, Name: "web-1", Image: "shop:1"}, {ID: second, Name: "web-2", Image: "shop:1"}}, asset.Containers)

	found, err := s.Scan(t.Context(), asset)
	require.NoError(t, err)
	require.Equal(t, asset, found.Asset)
	require.False(t, found.Time.IsZero(), "the image's creation")
	require.True(t, found.Complete(), found.Problems)
	require.Len(t, found.Packages, 2)
	apk, npm := found.Packages[0], found.Packages[1]
	require.Equal(t, []string{"pkg:npm/lodash@4.17.20", "zlib", "1.2.13-r0"}, []string{npm.PURL, apk.Name, apk.Version})
	require.Equal(t, []string{"app/package-lock.json"}, npm.Locations)
	require.Regexp(t, "^Alpine:v3.18", apk.Ecosystem)
	require.Regexp(t, "^sha256:", npm.Layer)
	requireEmpty()

	for _, name := range []string{"web-1", first, first[:12]} {
		same, err := s.Container(t.Context(), name)
		require.NoError(t, err, name)
		require.Equal(t, asset, same)
	}
	one, err := s.Container(t.Context(), "never-started")
	require.NoError(t, err)
	require.Equal(t, []event.Container{{ID: other, Name: "never-started", Image: testenv.DockerImage}}, one.Containers)
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
