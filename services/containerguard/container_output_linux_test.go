package containerguard_test

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
)

// outputOf makes an alert one that the output of a container caused, about an address.
func outputOf(id, address string) func(*event.Alert) {
	return func(a *event.Alert) {
		from(address)(a)
		a.Trust, a.Origin = event.TrustContainer, &event.Origin{Transport: event.TransportDocker, Container: id}
		a.Container, a.Service = &event.Container{ID: id}, "webserver"
	}
}

// shop is the command of a container that runs a web server.
func shop(listen string) []string {
	return []string{"/bin/sh", "-c", "mkdir /w; echo shop >/w/index.html; exec httpd -f -h /w -p " + listen}
}

// getsShop reports whether the far side gets the page of the shop at a server.
func getsShop(inFar []string, server, port string) bool {
	args := append(slices.Clone(inFar[1:]), "bash", "-c", `exec 3<>"/dev/tcp/$0/$1" && printf 'GET / HTTP/1.0\r\n\r\n' >&3 && timeout 5 cat <&3`, server, port)
	out, err := exec.Command(inFar[0], args...).CombinedOutput()
	return err == nil && strings.Contains(string(out), "shop")
}

// An address in the output of a container is blocked for the policy's full time if it connected to that container, now or
// before; anyone can have it write another.
func TestOutputOfAContainerBlocksWhoConnectedToIt(t *testing.T) {
	const here, innocent = "203.0.113.1", "203.0.113.78"
	d := testenv.DockerdHere(t)
	inFar := farSide(t, attacker, here)
	r := newRig(t)
	r.cfg.DockerSocket = d.Socket
	r.policy("p", `actions = ["block-source"]`, `block_ttl = "1h"`, `cooldown = "0s"`)
	serve := func(name, network, listen string, publish map[string]string) string {
		return d.Run(t, testenv.ContainerOptions{Name: name, Network: network, Publish: publish, Cmd: shop(listen)})
	}
	d.Do(t, "POST", "/networks/create", map[string]any{
		"Name": "lan", "Driver": "macvlan", "Options": map[string]string{"parent": "near"},
		"IPAM": map[string]any{"Config": []map[string]string{{"Subnet": "203.0.113.0/24", "IPRange": "203.0.113.128/25"}}},
	}, nil)
	web := serve("web", "", "80", map[string]string{"80/tcp": here + ":8080"})
	other := serve("other", "", "80", map[string]string{"80/tcp": here + ":8081"})
	onHost := serve("on-host", "host", here+":9000", nil)
	onLAN := serve("on-lan", "lan", "80", nil)
	lan := state(t, d, onLAN).Networks[0].IPv4.String()
	s := r.start().docker()
	s.eventually(func() bool { return s.count("containers") == 4 })
	get := func(server, port string) {
		t.Helper()
		s.eventually(func() bool { return getsShop(inFar, server, port) })
	}
	blocked := func(a *event.Alert) {
		t.Helper()
		done := r.await(a, "block-source done")
		require.InDelta(t, time.Hour, done.ExpiresAt.Sub(done.Time), float64(time.Minute))
	}

	get(here, "8080")
	a := r.alert(outputOf(web, attacker))
	r.publish(a)
	blocked(a)
	forged := r.alert(outputOf(web, innocent))
	r.publish(forged)
	require.Contains(t, r.await(forged, "block-source skipped dry").Reason,
		fmt.Sprintf("proposed only: the kernel saw no connection from %s to container:%s", innocent, web[:12]))
	require.Equal(t, []string{attacker + "/32"}, r.blocked())
	for _, c := range []struct{ id, server, port string }{{other, here, "8081"}, {onHost, here, "9000"}, {onLAN, lan, "80"}} {
		before := s.waiting()
		r.publish(r.alert(outputOf(c.id, attacker)))
		s.eventually(func() bool { return s.waiting() == before+1 })
		get(c.server, c.port)
		connected := r.alert(outputOf(c.id, attacker))
		r.publish(connected)
		blocked(connected)
	}
	require.NotContains(t, fmt.Sprint(s.Health().Reasons), "connections to containers")
}
