package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"runtime"
	"strings"
)

// maxIndexes is how many image indexes may lie between index.json and a manifest.
const maxIndexes = 3

// manifest is what an archive says of its image.
type manifest struct {
	config  []byte
	names   []string
	diffIDs []string
	layers  []*io.SectionReader // lowest first
}

// manifest reads the archive's description of its image: that of docker save where there is one, else that of an OCI
// image layout.
func (c *contents) manifest() (*manifest, error) {
	if _, ok := c.entries["manifest.json"]; ok {
		return c.dockerManifest()
	}
	if _, ok := c.entries["index.json"]; ok {
		return c.ociManifest()
	}
	return nil, ErrNotAnImage
}

func (c *contents) dockerManifest() (*manifest, error) {
	var images []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	if err := c.decode("manifest.json", &images); err != nil {
		return nil, err
	}
	if len(images) != 1 {
		return nil, fmt.Errorf("archive has %d images; save one at a time", len(images))
	}
	return c.resolve(images[0].Config, images[0].Layers, images[0].RepoTags)
}

// descriptor is a reference to a blob in an OCI image layout.
type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Platform  struct {
		OS           string `json:"os"`
		Architecture string `json:"architecture"`
	} `json:"platform"`
	Annotations map[string]string `json:"annotations"`
}

// ociDocument is an image index or an image manifest.
type ociDocument struct {
	Manifests []descriptor `json:"manifests"`
	Config    descriptor   `json:"config"`
	Layers    []descriptor `json:"layers"`
}

func (c *contents) ociManifest() (*manifest, error) {
	name, names := "index.json", []string(nil)
	for range maxIndexes {
		var document ociDocument
		if err := c.decode(name, &document); err != nil {
			return nil, err
		}
		if document.Config.Digest != "" {
			layers := make([]string, len(document.Layers))
			for i, layer := range document.Layers {
				layers[i] = blob(layer.Digest)
			}
			return c.resolve(blob(document.Config.Digest), layers, names)
		}
		chosen, err := choose(document.Manifests)
		if err != nil {
			return nil, err
		}
		if reference := chosen.Annotations["io.containerd.image.name"]; reference != "" {
			names = []string{reference}
		}
		name = blob(chosen.Digest)
	}
	return nil, errors.New("image indexes refer to each other")
}

// choose returns the image for this machine's architecture among those of an index. An index without platforms must
// have one image.
func choose(manifests []descriptor) (descriptor, error) {
	var images []descriptor
	for _, m := range manifests {
		if m.Platform.OS == "linux" && m.Platform.Architecture == runtime.GOARCH {
			return m, nil
		}
		if m.Platform.OS != "unknown" { // unknown are attestations
			images = append(images, m)
		}
	}
	if len(images) != 1 {
		return descriptor{}, fmt.Errorf("archive has %d images and none for linux/%s; save one", len(images), runtime.GOARCH)
	}
	return images[0], nil
}

// blob returns the path of a digest in an OCI image layout.
func blob(digest string) string {
	algorithm, sum, _ := strings.Cut(digest, ":")
	return path.Join("blobs", algorithm, sum)
}

func (c *contents) decode(name string, into any) error {
	content, err := c.document(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(content, into); err != nil {
		return fmt.Errorf("%q in the archive: %w", name, err)
	}
	return nil
}

func (c *contents) resolve(config string, layers, names []string) (*manifest, error) {
	content, err := c.document(config)
	if err != nil {
		return nil, err
	}
	var parsed struct {
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(content, &parsed); err != nil {
		return nil, fmt.Errorf("configuration %q in the archive: %w", config, err)
	}
	m := &manifest{config: content, names: names, diffIDs: parsed.RootFS.DiffIDs}
	if len(m.diffIDs) != len(layers) {
		return nil, fmt.Errorf("archive has %d layers; its configuration names %d", len(layers), len(m.diffIDs))
	}
	for _, layer := range layers {
		section, err := c.section(layer)
		if err != nil {
			return nil, err
		}
		m.layers = append(m.layers, section)
	}
	return m, nil
}
