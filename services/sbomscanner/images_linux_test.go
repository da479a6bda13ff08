package sbomscanner_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/testenv"
)

const shopLock = `{"name":"shop","version":"1.0.0","lockfileVersion":3,"packages":{"":{"name":"shop","version":"1.0.0"},"node_modules/lodash":{"version":"4.17.20"}}}`

// A container that is started runs a vulnerable image: the alerts name the container, and another one of the image is no news.
func TestImageOfANewContainerIsScanned(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	id := d.Run(t, testenv.ContainerOptions{})
	require.Equal(t, "written\n", d.Exec(t, id, "/bin/sh", "-c", "mkdir /app && printf '%s' '"+shopLock+"' > /app/package-lock.json && echo written"))
	d.Do(t, "POST", "/commit?container="+id+"&repo=shop&tag=1", map[string]any{}, nil)
	d.Remove(t, id)

	r := newRig(t)
	r.cfg.Images = true
	r.deps.DockerSocket = d.Proxy(t, docker.Allow(docker.FeatureImages)).Socket
	r.advise("GHSA-1", "lodash", "4.17.21", "CRITICAL", "CVE-2021-23337")
	r.importAdvisories()
	s := r.start()
	web := d.Run(t, testenv.ContainerOptions{Name: "web", Image: "shop:1"})
	got := r.awaitAlerts(2)
	for _, a := range got {
		require.Equal(t, &event.Container{ID: web, Name: "web", Image: "shop:1"}, a.Container)
	}
	require.Equal(t, "1 new vulnerability in shop:1", got[0].Title)
	require.Equal(t, "app/package-lock.json", got[1].Findings[0].Location)
	s.await("alerts_waiting", 0)
	d.Run(t, testenv.ContainerOptions{Name: "web-2", Image: "shop:1"})
	d.Remove(t, web)
	s.stop()

	r.deps.DockerSocket = "/nosuch.sock"
	s = r.start()
	require.Eventually(t, func() bool { return len(s.Health().Reasons) == 1 }, patience, tick, "%v", s.Health())
	require.Contains(t, s.Health().Reasons[0], "images are not scanned: ")
	s.await("findings_open", 1)
	require.Len(t, r.alerts(), 2)
}
