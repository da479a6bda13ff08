package testenv_test

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/testenv"
)

func TestPrivateDockerRunsContainersAcrossRestarts(t *testing.T) {
	t.Parallel()
	var dir string
	t.Run("dockerd", func(t *testing.T) {
		d := testenv.Dockerd(t)
		dir = d.Dir
		d.Network(t, "shop", "")
		id := d.Run(t, testenv.ContainerOptions{
			Name: "web", Network: "shop", Restart: "always", Publish: map[string]string{"80/tcp": "127.0.0.1:8080"},
			Cmd: []string{"/bin/sh", "-c", "echo ready; exec nc -ll -p 80 -e /bin/cat"},
		})
		require.Eventually(t, func() bool { return strings.Contains(d.Logs(t, id), "ready") }, 10*time.Second, 20*time.Millisecond)
		require.Contains(t, d.Exec(t, id, "cat", "/etc/hosts"), "127.0.0.1")
		require.NoError(t, dialFrom(d, "127.0.0.1:8080"))
		for _, end := range []func(testing.TB){d.Kill, d.Stop} {
			before := d.PID()
			end(t)
			d.Start(t)
			require.NotEqual(t, before, d.PID())
			require.Eventually(t, func() bool { return running(t, d, id) }, 20*time.Second, 50*time.Millisecond)
		}
	})
	require.NoDirExists(t, dir)
}

func dialFrom(d *testenv.Docker, address string) error {
	var conn net.Conn
	var err error
	entered := d.RunInNamespace(func() { conn, err = net.Dial("tcp", address) })
	if conn != nil {
		err = conn.Close()
	}
	return errors.Join(entered, err)
}

func running(t *testing.T, d *testenv.Docker, id string) bool {
	t.Helper()
	var c struct{ State struct{ Running bool } }
	d.Do(t, "GET", "/containers/"+id+"/json", nil, &c)
	return c.State.Running
}
