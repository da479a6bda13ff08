package safety_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/services/containerguard/safety"
)

const ownID = "4f6c1b2a9d3e4f6c1b2a9d3e4f6c1b2a9d3e4f6c1b2a9d3e4f6c1b2a9d3e1234"

func container(name string, change func(*docker.Container)) docker.Container {
	c := docker.Container{ID: strings.Repeat("a", 60) + name[:min(4, len(name))], Name: name, Running: true}
	if change != nil {
		change(&c)
	}
	return c
}

func TestProtectedContainers(t *testing.T) {
	t.Parallel()
	p := safety.NewProtections(safety.Self{Inside: true, ID: ownID}, []string{"core-*"},
		[]string{"postgres:5432", "192.0.2.9:4222", "127.0.0.1:6379", "localhost:2375"})
	label := func(value string) func(*docker.Container) {
		return func(c *docker.Container) { c.Labels = map[string]string{safety.ProtectedLabel: value} }
	}
	port := func(host string) func(*docker.Container) {
		return func(c *docker.Container) { c.Ports = []docker.Port{{Container: "1/tcp", Host: host}} }
	}
	for name, c := range map[string]struct {
		c    docker.Container
		want string
	}{
		"any other":                {container("web", nil), ""},
		"itself":                   {container("guard", func(c *docker.Container) { c.ID = ownID }), "own container"},
		"label":                    {container("web", label("true")), "label"},
		"label without a value":    {container("web", label("")), "label"},
		"label taken back":         {container("web", label("False")), ""},
		"by name":                  {container("core-dns", nil), "container.protected"},
		"database by name":         {container("postgres", nil), "postgres:5432"},
		"database by service":      {container("shop-db-1", func(c *docker.Container) { c.Service = "postgres" }), "postgres:5432"},
		"database by alias":        {container("x", func(c *docker.Container) { c.Networks = []docker.Endpoint{{Aliases: []string{"postgres"}}} }), "postgres:5432"},
		"bus by address":           {container("x", func(c *docker.Container) { c.Networks = []docker.Endpoint{{IPv4: netip.MustParseAddr("192.0.2.9")}} }), "192.0.2.9:4222"},
		"redis by published port":  {container("x", port("127.0.0.1:6379")), "127.0.0.1:6379"},
		"redis published anywhere": {container("x", port("0.0.0.0:6379")), "127.0.0.1:6379"},
		"proxy published anywhere": {container("x", port(":::2375")), "localhost:2375"},
		"another port":             {container("x", port("0.0.0.0:8080")), ""},
	} {
		got := p.Reason(c.c, []docker.Container{c.c})
		if c.want == "" {
			require.Empty(t, got, name)
			continue
		}
		require.Contains(t, got, c.want, name)
		require.Contains(t, got, "protected: ", name)
	}
}

func TestOwnerOfASharedNetworkIsProtected(t *testing.T) {
	t.Parallel()
	p := safety.NewProtections(safety.Self{}, nil, nil)
	owner := container("owner", nil)
	member := container("side", func(c *docker.Container) { c.NetworkMode = "container:" + owner.ID })
	require.Contains(t, p.Reason(owner, []docker.Container{owner, member}), `container "side" shares its network`)
	require.Empty(t, p.Reason(member, []docker.Container{owner, member}))
	member.NetworkMode = "container:owner"
	require.NotEmpty(t, p.Reason(owner, []docker.Container{owner, member}))
	member.Running = false
	require.Empty(t, p.Reason(owner, []docker.Container{owner, member}))
}

func TestGuardThatCannotFindItsContainerActsOnNone(t *testing.T) {
	t.Parallel()
	p := safety.NewProtections(safety.Self{Inside: true}, nil, nil)
	require.Contains(t, p.Reason(container("web", nil), nil), "acts on none")
	require.Empty(t, safety.NewProtections(safety.Self{}, nil, nil).Reason(container("web", nil), nil))
}

func TestFindSelf(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files map[string]string
		want  safety.Self
	}{
		"on a host": {map[string]string{"proc/self/mountinfo": "22 1 254:0 / / rw - ext4 /dev/vda rw\n", "proc/self/cgroup": "0::/user.slice\n"}, safety.Self{}},
		"mountinfo": {map[string]string{
			"proc/self/mountinfo": "612 607 254:1 /var/lib/docker/containers/" + ownID + "/hostname /etc/hostname rw,relatime - ext4 /dev/vda1 rw\n",
			"proc/self/cgroup":    "0::/\n",
		}, safety.Self{Inside: true, ID: ownID}},
		"cgroup v1": {map[string]string{"proc/self/cgroup": "12:freezer:/docker/" + ownID + "\n"}, safety.Self{Inside: true, ID: ownID}},
		"cgroup v2": {map[string]string{"proc/self/cgroup": "0::/system.slice/docker-" + ownID + ".scope\n"}, safety.Self{Inside: true, ID: ownID}},
		"hidden": {map[string]string{
			".dockerenv": "", "proc/self/cgroup": "0::/\n",
			"proc/self/mountinfo": "612 607 254:1 /somewhere/else /etc/hosts rw,relatime - ext4 /dev/vda1 rw\n",
		}, safety.Self{Inside: true}},
		"virtual machine made from an image": {map[string]string{
			".dockerenv": "", "proc/self/mountinfo": "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n",
		}, safety.Self{}},
		"mount of another container's file": {map[string]string{"proc/self/mountinfo": "9 1 0:1 /var/lib/docker/containers/" + ownID + "/x /mnt/look rw - ext4 /dev/vda1 rw\n"}, safety.Self{}},
	} {
		root := t.TempDir()
		for path, text := range c.files {
			require.NoError(t, os.MkdirAll(filepath.Join(root, filepath.Dir(path)), 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(root, path), []byte(text), 0o600))
		}
		require.Equal(t, c.want, safety.FindSelf(root), name)
	}
}

func TestInheritKeepsResolvedAddresses(t *testing.T) {
	t.Parallel()
	old := safety.NewProtections(safety.Self{}, nil, []string{"localhost:5432"})
	old.Resolve(t.Context())
	c := container("db", func(c *docker.Container) {
		c.Networks = []docker.Endpoint{{IPv4: netip.MustParseAddr("127.0.0.1")}}
	})
	require.NotEmpty(t, old.Reason(c, nil))
	next := safety.NewProtections(safety.Self{}, nil, []string{"localhost:5432"})
	require.Empty(t, next.Reason(c, nil), "no name was resolved yet")
	next.Inherit(old)
	require.NotEmpty(t, next.Reason(c, nil))
	other := safety.NewProtections(safety.Self{}, nil, []string{"elsewhere:5432"})
	other.Inherit(old)
	require.Empty(t, other.Reason(c, nil), "a host that is no dependency any more is not protected")
}

func TestDependencyFindsAddresses(t *testing.T) {
	t.Parallel()
	p := safety.NewProtections(safety.Self{}, nil, []string{"192.0.2.9:4222", "[2001:db8::9]:5432", "localhost:6379"})
	p.Resolve(t.Context())
	for text, want := range map[string]string{
		"192.0.2.9": "192.0.2.9:4222", "2001:db8::9": "[2001:db8::9]:5432", "127.0.0.1": "localhost:6379", "192.0.2.10": "",
	} {
		addr := netip.MustParseAddr(text)
		require.Equal(t, want, p.Dependency(netip.PrefixFrom(addr, addr.BitLen())), text)
	}
	require.Empty(t, p.Dependency(netip.Prefix{}))
	require.Equal(t, "[2001:db8::9]:5432", p.Dependency(netip.MustParsePrefix("2001:db8::/64")))
	require.Empty(t, p.Dependency(netip.MustParsePrefix("2001:db8:0:1::/64")))
}
