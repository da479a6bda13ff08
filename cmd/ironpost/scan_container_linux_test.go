package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
)

const lockFile = `{"name":"app","lockfileVersion":3,"packages":{"":{"name":"app"},"node_modules/lodash":{"version":"4.17.15"}}}`

const lodashAdvisory = `{"id":"GHSA-p6mc-m468-83gw","aliases":["CVE-2020-8203"],"modified":"2024-01-01T00:00:00Z",
"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:N/I:H/A:H"}],
"affected":[{"package":{"ecosystem":"npm","name":"lodash"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"4.17.19"}]}]}]}`

// The image of a container is exported by Docker, read, and gone afterwards; so is one that docker save wrote.
func TestScanOfAContainerReadsItsImage(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	base := d.Run(t, testenv.ContainerOptions{})
	d.Exec(t, base, "/bin/sh", "-c", "mkdir /app && echo '"+lockFile+"' >/app/package-lock.json")
	d.Do(t, "POST", "/commit?repo=shop&tag=1&container="+base, nil, nil)
	d.Run(t, testenv.ContainerOptions{Name: "web", Image: "shop:1"})

	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	write("records/T-1.json", lodashAdvisory)
	db := filepath.Join(dir, "db")
	r := call(t, "vulndb", "import", "--db", db, filepath.Join(dir, "records"))
	require.Equal(t, exitOK, r.code, r.err)
	config := write("ironpost.toml", "[container]\ndocker_socket = \""+d.Socket+"\"\n")

	r = call(t, "scan", "-c", config, "--db", db, "--json", "container:web")
	require.Equal(t, exitOK, r.code, r.err)
	var report scanReport
	require.NoError(t, json.Unmarshal([]byte(r.out), &report))
	require.Equal(t, "shop:1", report.Asset.Name)
	require.Equal(t, "web", report.Asset.Containers[0].Name)
	require.Len(t, report.Findings, 1)
	require.Equal(t, "CVE-2020-8203", report.Findings[0].ID)
	require.Equal(t, []string{"app/package-lock.json"}, report.Findings[0].Locations)
	require.NotEmpty(t, report.Findings[0].Layer)
	conforms(t, "../../docs/scan-report.schema.json", r.out)

	r = call(t, "scan", "-c", config, "--db", db, "container:wob")
	require.Equal(t, exitError, r.code)
	require.Contains(t, r.err, `there is no container "wob"`)
	nowhere := write("nowhere.toml", "[container]\ndocker_socket = \""+dir+"/none\"\n")
	require.Equal(t, exitError, call(t, "scan", "-c", nowhere, "--db", db, "container:web").code)
}
