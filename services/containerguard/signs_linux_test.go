package containerguard_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/containerguard"
	"github.com/ironpost/ironpost/services/containerguard/policy"
)

// Addresses beyond the networks of containers: of this host, and of one behind the gateway of a macvlan.
const outside, beyond = "203.0.113.1", "198.51.100.9"

// listenOutside takes connections at port of the outside, and reads from them.
func listenOutside(t *testing.T, port string) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(outside, port))
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			}()
		}
	}()
}

// learned writes the memory of a guard that has known the containers for long, and what they use: those of newly, by name, since 20 minutes ago.
func (r *rig) learned(used map[string][]string, newly ...string) {
	r.t.Helper()
	purposes, now := map[string]any{}, time.Now().UTC()
	for name, addresses := range used {
		at, first := map[string]time.Time{}, map[string]time.Time{}
		for _, a := range addresses {
			at[a] = now.Add(-20 * time.Minute)
			if slices.Contains(newly, name) {
				first[a] = at[a]
			}
		}
		purposes["name:"+name] = map[string]any{"learned": now.Add(-time.Hour), "seen": now, "used": at, "first": first}
	}
	data, err := json.Marshal(map[string]any{"heard": now, "purposes": purposes})
	require.NoError(r.t, err)
	require.NoError(r.t, os.WriteFile(filepath.Join(r.data(), "destinations.json"), data, 0o600))
}

// webShell is an alert about a request to a container, which was answered with success.
func webShell(id, address, path string, tags ...string) func(*event.Alert) {
	return func(a *event.Alert) {
		outputOf(id, address)(a)
		a.Title, a.Rule.Tags = "Web Shell Access", append(tags, "attack.t1505.003")
		a.Request = &event.Request{Method: "GET", Path: path, Status: 200}
	}
}

// Requests alone stop no container, however many rules match and whoever makes them. An upload and a connection that the container then begins
// to an address new to it do, in either order, of a container on a bridge, on the network of the host, and on a macvlan.
func TestContainerIsStoppedByTwoIndependentSigns(t *testing.T) {
	d := testenv.DockerdHere(t)
	inFar := farSide(t, attacker, outside)
	listenOutside(t, "4444")
	for _, command := range []string{"ip link set lo up", "ip addr add " + beyond + "/32 dev lo"} {
		args := append(slices.Clone(inFar), strings.Fields(command)...)
		require.NoError(t, exec.Command(args[0], args[1:]...).Run())
	}
	args := append(slices.Clone(inFar), "busybox", "nc", "-ll", "-p", "4444", "-e", "cat")
	server := exec.Command(args[0], args[1:]...)
	require.NoError(t, server.Start())
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	d.Do(t, "POST", "/networks/create", map[string]any{
		"Name": "lan", "Driver": "macvlan", "Options": map[string]string{"parent": "near"},
		"IPAM": map[string]any{"Config": []map[string]string{{"Subnet": "203.0.113.0/24", "Gateway": attacker, "IPRange": "203.0.113.128/25"}}},
	}, nil)
	r := newRig(t)
	r.cfg.DockerSocket = d.Socket
	r.policy("p", `actions = ["pause"]`, `cooldown = "0s"`, `require.signs = 2`)
	ids, names := map[string]string{}, map[string][]string{}
	for name, network := range map[string]string{"first": "", "later": "", "again": "", "known": "", "refused": "", "on-host": "host", "on-lan": "lan"} {
		ids[name], names[name] = d.Run(t, testenv.ContainerOptions{Name: name, Network: network}), nil
	}
	names["known"], names["again"] = []string{outside}, []string{outside}
	r.learned(names, "again")
	s := r.start().docker()
	s.eventually(func() bool { return s.count("containers") == uint64(len(ids)) })
	connect := func(name, port string) {
		d.Exec(t, ids[name], "sh", "-c", "echo | nc -w 3 "+outside+" "+port)
	}
	request := func(name, source, path string, tags ...string) *event.Alert {
		a := r.alert(webShell(ids[name], source, path, tags...))
		r.publish(a)
		return a
	}

	for i := range 20 {
		a := r.alert(webShell(ids["first"], fmt.Sprint("203.0.113.", 10+i%5), fmt.Sprint("/uploads/", i%2, "/x.php")))
		a.Rule.ID = fmt.Sprint("rule-", i%10)
		r.publish(a)
	}
	s.eventually(func() bool { return s.count("steps_waiting_for_sign") == 20 && len(r.actions()) > 0 })
	require.Len(t, r.actions(), 1, "it is told once")
	require.Contains(t, r.actions()[0].Reason, "proposed only: 1 of 2 signs within 10m0s: log (Web Shell Access); missing an effect of the container itself")
	connect("first", "4444")
	s.eventually(func() bool { return slices.Contains(briefs(r.actions()), "pause done") })
	var done event.Action
	for _, a := range r.actions() {
		if brief(a) == "pause done" {
			done = a
		}
	}
	require.Contains(t, done.Reason, "found by id; signs: connection (to 203.0.113.1:4444, new in 24h), log (Web Shell Access)")
	s.eventually(func() bool { return s.count("steps_waiting_for_sign") == 0 })

	connect("later", "4444")
	connect("again", "4444")
	connect("known", "4444")
	connect("refused", "1")
	late, known, refused := request("later", attacker, "/c99.php"), request("known", attacker, "/c99.php"), request("refused", attacker, "/c99.php")
	r.await(late, "pause done")
	r.await(request("again", attacker, "/c99.php"), "pause done") // an address that it used before does not make itself usual
	r.await(known, "pause skipped dry")
	r.await(refused, "pause skipped dry")

	scanned := request("known", attacker, "/", policy.TagLoggerVictim)
	require.Contains(t, r.await(scanned, "pause skipped").Reason, "the rule describes the container as a victim of the attack")

	for name, address := range map[string]string{"on-host": outside, "on-lan": beyond} {
		a := request(name, attacker, "/c99.php")
		r.await(a, "pause skipped dry")
		d.Exec(t, ids[name], "sh", "-c", "(sleep 3600 | nc "+address+" 4444) >/dev/null 2>&1 &")
		r.await(a, "pause done")
	}
	require.NotContains(t, fmt.Sprint(s.Health().Reasons), "connections that containers begin")
	require.NoError(t, s.stop())
	data, err := os.ReadFile(filepath.Join(r.data(), "destinations.json"))
	require.NoError(t, err)
	require.Contains(t, string(data), outside)
}

// By the shipped policies, an upload and then a connection of the web shell isolate the container, although the guard was restarted between the two. A
// request that failed leaves no sign, nor one to a server that answers everything.
func TestUploadAndConnectionIsolateByShippedPolicies(t *testing.T) {
	d := testenv.DockerdHere(t)
	farSide(t, attacker, outside)
	listenOutside(t, "4444")
	r := newRig(t)
	r.cfg.DockerSocket = d.Socket
	r.copyShipped()
	ids := map[string]string{}
	for _, name := range []string{"web", "failing", "answering"} {
		ids[name] = d.Run(t, testenv.ContainerOptions{Name: name})
	}
	r.learned(map[string][]string{"web": nil, "failing": nil, "answering": nil})
	s := r.start().docker()
	s.eventually(func() bool { return s.count("containers") == 3 })
	request := func(name, source, path string, status int) *event.Alert {
		a := r.alert(webShell(ids[name], source, path, policy.TagSourceAttacker, policy.TagLoggerActor))
		a.Request.Status = status
		r.publish(a)
		return a
	}
	for i := range 2 {
		request("answering", fmt.Sprintf("198.51.%d.7", 100+i), fmt.Sprint("/shell", i, ".php"), 200)
		s.eventually(func() bool { return s.count("steps_waiting_for_sign") == uint64(i)+1 })
	}
	third, err := event.Encode(r.alert(webShell(ids["answering"], attacker, "/c99.php")))
	require.NoError(t, err)
	var decisions []containerguard.PolicyDecision
	require.NoError(t, r.ask(containerguard.VerbTest, containerguard.TestRequest{Alert: third}, &decisions))
	require.Contains(t, fmt.Sprint(decisions), "the server answers any GET in / with success, so that proves nothing")
	failed := request("failing", attacker, "/uploads/x.php", 500)
	require.Contains(t, r.await(failed, "isolate skipped dry").Reason, "0 of 2 signs within 10m0s; missing a second sign; the request was answered with 500, which is no success")
	upload := request("web", attacker, "/uploads/x.php", 200)
	r.await(upload, "isolate skipped dry")
	require.NoError(t, s.stop())

	s = r.start().docker()
	for _, name := range []string{"failing", "web"} {
		d.Exec(t, ids[name], "sh", "-c", "echo | nc -w 3 "+outside+" 4444")
	}
	r.await(upload, "isolate done")
	require.False(t, state(t, d, ids["failing"]).Paused)
}
