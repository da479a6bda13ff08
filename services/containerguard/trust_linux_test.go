package containerguard_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
)

const attacker = "203.0.113.77"

// unprovenSSH makes a an alert about password guessing by attacker that anyone may have written.
func unprovenSSH(a *event.Alert) {
	from(attacker)(a)
	a.Origin, a.Trust, a.Service = &event.Origin{Transport: event.TransportSyslogUDP, Peer: "127.0.0.1:40000"}, event.TrustUnproven, "sshd"
}

// Anyone may have written the line, and the address that it names did not connect to sshd: nothing is done.
func TestUnprovenAlertOnlyProposes(t *testing.T) {
	r := newRig(t)
	r.policy("p", `actions = ["block-source", "isolate"]`)
	r.start()
	for i, change := range []func(*event.Alert){
		unprovenSSH,
		func(a *event.Alert) { unprovenSSH(a); a.Service = "" },
		func(a *event.Alert) { unprovenSSH(a); a.Trust = event.TrustHost },
		func(a *event.Alert) { unprovenSSH(a); a.Trust, a.Origin = "", nil }, // of an earlier version
		func(a *event.Alert) { unprovenSSH(a); a.Trust = "root" },
	} {
		a := r.alert(change)
		a.Source.IP = fmt.Sprint("203.0.113.", i+1) // a second proposal about one address is not reported within a minute
		r.publish(a)
		action := r.await(a, "block-source skipped dry")
		require.Contains(t, action.Reason, "proposed only: ", "%+v", a)
	}
	list, err := r.bus.Admin().Blocklist(t.Context())
	require.NoError(t, err)
	blocks, _, err := list.List(t.Context())
	require.NoError(t, err)
	require.Empty(t, blocks)
}

// The kernel saw the address connect to sshd: an unproven line then blocks it, for 10 minutes at most, also if the
// connection has ended. A line that is proven blocks it for as long as the policy says.
func TestConnectionProvesAnAddress(t *testing.T) {
	attackSSH := connectFrom(t, attacker, "203.0.113.1:22")
	r := newRig(t)
	r.policy("p", `actions = ["block-source"]`, `block_ttl = "1h"`, `cooldown = "0s"`)
	r.start()
	block := func(a *event.Alert) time.Duration {
		r.publish(a)
		action := r.await(a, "block-source done")
		return action.ExpiresAt.Sub(action.Time)
	}
	end := attackSSH()
	require.InDelta(t, 10*time.Minute, block(r.alert(unprovenSSH)), float64(time.Minute))
	a := r.alert(func(a *event.Alert) { unprovenSSH(a); a.Service = "webserver" })
	r.publish(a)
	require.Contains(t, r.await(a, "block-source skipped dry").Reason, "the kernel saw no connection from "+attacker+" to webserver")
	end()
	require.InDelta(t, 10*time.Minute, block(r.alert(unprovenSSH)), float64(time.Minute), "the connection has ended")
	require.Equal(t, []bus.Hosts{host}, r.blockHosts(), "weak evidence blocks on this host only")
	peer := r.alert(func(a *event.Alert) { unprovenSSH(a); a.Trust = event.TrustPeer })
	require.InDelta(t, time.Hour, block(peer), float64(time.Minute))
	require.Equal(t, []bus.Hosts{host}, r.blockHosts())
	require.InDelta(t, time.Hour, block(r.alert(func(a *event.Alert) { unprovenSSH(a); a.Trust = event.TrustHost })), float64(time.Minute))
	require.Equal(t, []bus.Hosts{"", host}, r.blockHosts(), "a proven one on all")
}

// blockHosts returns the hosts of each entry of the blocklist.
func (r *rig) blockHosts() (hosts []bus.Hosts) {
	r.t.Helper()
	list, err := r.bus.Conn(bus.ContainerGuard).Blocklist(r.t.Context())
	require.NoError(r.t, err)
	all, _, err := list.List(r.t.Context())
	require.NoError(r.t, err)
	for _, b := range all {
		hosts = append(hosts, b.Hosts)
	}
	return hosts
}

// Whoever guesses passwords can have lines about the own address written before, so that the correlation has fired when
// the guessing begins: the connection, however short, is then the missing proof.
func TestForgedLinesThatComeFirstHideNoAttacker(t *testing.T) {
	attackSSH := connectFrom(t, attacker, "203.0.113.1:22")
	r := newRig(t)
	r.policy("p", `actions = ["block-source"]`, `block_ttl = "1h"`)
	s := r.start()
	forged, other := r.alert(unprovenSSH), r.alert(func(a *event.Alert) { unprovenSSH(a); a.Source.IP = "203.0.113.78" })
	r.publish(forged, other)
	r.await(forged, "block-source skipped dry")
	r.await(other, "block-source skipped dry")
	require.Empty(t, r.blocked())
	future := r.alert(func(a *event.Alert) {
		unprovenSSH(a)
		a.DedupKey, a.LastSeen = forged.DedupKey, a.LastSeen.Add(4*time.Minute)
	})
	r.publish(future)
	require.Contains(t, r.await(future, "block-source skipped").Reason, "in the future", "it ends no proposal")
	attackSSH()()
	done := r.await(forged, "block-source done")
	require.InDelta(t, 10*time.Minute, done.ExpiresAt.Sub(done.Time), float64(time.Minute))
	require.Equal(t, []string{attacker + "/32"}, r.blocked())
	s.eventually(func() bool { return s.count("answered_late") == 1 })
}

// The cooldown of an unproven alert does not hold a proven one, which blocks for longer and on every host; one that is no
// stronger is held.
func TestProvenAlertIsAnsweredAfterAnUnprovenOne(t *testing.T) {
	attackSSH := connectFrom(t, attacker, "203.0.113.1:22")
	r := newRig(t)
	r.policy("p", `actions = ["block-source"]`, `block_ttl = "1h"`, `cooldown = "1h"`)
	r.start()
	attackSSH()()
	proven := func(a *event.Alert) { unprovenSSH(a); a.Trust = event.TrustHost }
	weak, strong, second := r.alert(unprovenSSH), r.alert(proven), r.alert(proven)
	r.publish(weak)
	r.await(weak, "block-source done")
	r.publish(strong)
	done := r.await(strong, "block-source done")
	require.InDelta(t, time.Hour, done.ExpiresAt.Sub(done.Time), float64(time.Minute))
	require.Equal(t, []bus.Hosts{"", host}, r.blockHosts())
	r.publish(second)
	require.Contains(t, r.await(second, "block-source skipped").Reason, "cooldown until")
}

// An update is answered only if its first alert was proposed, and then once.
func TestUpdateWithBetterEvidenceIsAnswered(t *testing.T) {
	r := newRig(t)
	r.policy("p", `actions = ["block-source"]`)
	s := r.start()
	first := r.alert(unprovenSSH)
	r.publish(first)
	r.await(first, "block-source skipped dry")
	update := func(change func(*event.Alert)) *event.Alert {
		a := r.alert(func(a *event.Alert) {
			from(attacker)(a)
			a.Update, a.Count, a.DedupKey = true, 5, first.DedupKey
			change(a)
		})
		r.publish(a)
		return a
	}
	update(unprovenSSH)
	proven := update(func(*event.Alert) {})
	r.await(proven, "block-source done")
	s.eventually(func() bool { return s.waiting() == 0 }) // the action is stored before
	again := update(func(*event.Alert) {})
	s.eventually(func() bool { return s.count("alert_updates") == 3 })
	for _, a := range r.actions() {
		require.NotEqual(t, again.ID, a.AlertID)
	}
}

// What a container writes fills no room of an address that the kernel confirmed, however weak its line is otherwise.
func TestConfirmedBlockGoesBeforeTheOutputOfAContainer(t *testing.T) {
	attackSSH := connectFrom(t, attacker, "203.0.113.1:22")
	r := newRig(t)
	r.cfg.MaxBlocks, r.cfg.MaxBlocksPerMinute = 1, 1
	r.policy("output", `actions = ["block-source"]`, `match.trust = ["container"]`, `require.proof = false`)
	r.policy("ssh", `actions = ["block-source"]`, `match.trust = ["unproven"]`)
	r.start()
	attackSSH()()
	output := r.alert(func(a *event.Alert) {
		from("203.0.113.90")(a)
		a.Trust, a.Origin = event.TrustContainer, &event.Origin{Transport: event.TransportDocker, Container: "one"}
	})
	r.publish(output)
	r.await(output, "block-source done")
	guessed := r.alert(unprovenSSH)
	r.publish(guessed)
	r.await(guessed, "block-source done")
	require.Equal(t, []string{attacker + "/32"}, r.blocked())
}

// An update that is stale, or that anyone may have written, ends no proposal, and none of stronger evidence becomes a weak one.
func TestUpdatesEndNoProposal(t *testing.T) {
	attackSSH := connectFrom(t, attacker, "203.0.113.1:22")
	r := newRig(t)
	r.policy("p", `actions = ["block-source"]`, `block_ttl = "1h"`)
	s := r.start()
	first := r.alert(func(a *event.Alert) { unprovenSSH(a); a.Trust = event.TrustHost })
	r.publish(first)
	r.await(first, "block-source skipped dry")
	update := func(change func(*event.Alert)) {
		r.publish(r.alert(func(a *event.Alert) {
			unprovenSSH(a)
			a.Update, a.Count, a.DedupKey = true, 5, first.DedupKey
			change(a)
		}))
	}
	update(func(a *event.Alert) { a.LastSeen = a.LastSeen.Add(4 * time.Minute) })
	update(func(*event.Alert) {})
	s.eventually(func() bool { return s.count("alert_updates") == 2 })
	attackSSH()()
	done := r.await(first, "block-source done")
	require.InDelta(t, 10*time.Minute, done.ExpiresAt.Sub(done.Time), float64(time.Minute), "it connected after the alert only")
	require.Equal(t, []bus.Hosts{host}, r.blockHosts())
}

// farSide makes a network with this host and a client, and returns the beginning of commands that run on the client.
func farSide(t *testing.T, client, host string) []string {
	t.Helper()
	testenv.Require(t, "a network namespace", testenv.InOwnNetwork())
	far := exec.Command("unshare", "--net", "sleep", "infinity")
	require.NoError(t, far.Start())
	t.Cleanup(func() { _ = far.Process.Kill(); _ = far.Wait() })
	inFar := []string{"nsenter", "--net", "--target", strconv.Itoa(far.Process.Pid)}
	run := func(args ...string) error {
		out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", args, err, out)
		}
		return nil
	}
	own, err := os.Readlink("/proc/self/ns/net")
	require.NoError(t, err)
	require.Eventually(t, func() bool { // it has its namespace
		its, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", far.Process.Pid))
		return err == nil && its != own
	}, patience, tick)
	require.NoError(t, run("ip", "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", strconv.Itoa(far.Process.Pid)))
	t.Cleanup(func() { _ = run("ip", "link", "del", "near") })
	for _, args := range [][]string{
		{"ip", "addr", "add", host + "/24", "dev", "near"},
		{"ip", "link", "set", "near", "up"},
		append(inFar, "ip", "addr", "add", client+"/24", "dev", "far"), append(inFar, "ip", "link", "set", "far", "up"),
	} {
		require.NoError(t, run(args...))
	}
	return inFar
}

// connectFrom makes a network with a server of this host and a client, and returns a function that connects the client
// and returns one that ends the connection.
func connectFrom(t *testing.T, client, server string) func() (end func()) {
	t.Helper()
	host, port, err := net.SplitHostPort(server)
	require.NoError(t, err)
	return connectIn(t, farSide(t, client, host), host, port)
}

// connectIn is connectFrom in a network that is there.
func connectIn(t *testing.T, inFar []string, host, port string) func() (end func()) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return func() func() {
		args := append(slices.Clone(inFar), "bash", "-c", `exec 3<>"/dev/tcp/$0/$1"; read -r`, host, port)
		c := exec.Command(args[0], args[1:]...)
		stop, err := c.StdinPipe()
		require.NoError(t, err)
		require.NoError(t, c.Start())
		in, err := l.Accept()
		require.NoError(t, err)
		return func() {
			require.NoError(t, stop.Close())
			_ = c.Wait() // read fails at the end of its input
			require.NoError(t, in.Close())
		}
	}
}

// A record claims no more than its module may: a scan proves nothing that packets prove.
func TestClaimIsLoweredToTheCeiling(t *testing.T) {
	r := newRig(t)
	r.policy("p", `actions = ["isolate"]`, `attribute_by = ["address"]`, `match.trust = ["kernel"]`)
	s := r.start()
	pub, err := r.bus.Conn(bus.SBOMScanner).Publisher(bus.PublisherConfig{Stream: bus.Alerts, Module: bus.SBOMScanner, Host: host})
	require.NoError(t, err)
	defer pub.Close()
	a := r.alert(func(a *event.Alert) { from(attacker)(a); a.Module = bus.SBOMScanner })
	require.NoError(t, pub.Publish(t.Context(), a))
	s.eventually(func() bool { return s.count("alerts") == 1 })
	require.Equal(t, event.TrustKernel, a.Trust)
	require.Empty(t, r.actions())
}
