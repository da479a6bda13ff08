//go:build accept && linux

package e2e_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/internal/testenv"
)

// kinds are the servers of serverProgram.
var kinds = []string{
	"everything", "error", "missing", "forbidden", "login", "moved", "redirect", "see-other", "unavailable", "gateway", "not-modified", "empty",
	"partial", "front-controller", "single-page", "soft-404", "json", "slow", "proxied", "static", "thumbnails",
}

// One GET of a web shell's path, which needs no login, stops no container, whatever kind of server it is.
func TestAcceptHostileServers(t *testing.T) {
	g := newStage(t, wideCaps)
	for _, kind := range kinds {
		g.serve(kind, kind)
	}
	for n, kind := range kinds {
		path := "/c99.php?cmd=id"
		if kind == "thumbnails" {
			path = "/images/thumb.php?src=a.png"
		}
		require.NotZero(t, g.request(visitor(n), kind, path), kind)
	}
	g.judged(uint64(len(kinds)))
	alerts := len(g.alerts())
	t.Logf("%d kinds of servers, one GET each: %d alerts (bar ≥ 8), %d containers stopped (bar 0): %v", len(kinds), alerts, len(g.stopped()), g.stopped())
	require.GreaterOrEqual(t, alerts, 8)
	require.Empty(t, g.stopped())
	require.Zero(t, g.counter(bus.ContainerGuard, "orders"))
}

// tenRules are paths that match different rules or kinds of one.
var tenRules = []string{
	"/c99.php", "/uploads/a.php?cmd=id", "/images/thumb.php", "/?file=../../../../etc/passwd", "/?id=1%20union%20select%201,2--", "/?id=1'%20or%20'1'='1",
	"/static/..%2f..%2f..%2fetc%2fpasswd", "/x.php?c=whoami", "/tmp/b.jsp", "/?q=sleep(5)--",
}

// 20 GETs from five addresses that hit ten rules are one sign: they stop nothing, neither as attacks nor as scans that the container would
// have made. Nor do forged addresses in X-Forwarded-For block anybody.
func TestAcceptHostileRequests(t *testing.T) {
	g := newStage(t, wideCaps, "flawed")
	id := g.serve("shop", "everything")
	g.serve("behind", "proxied")
	g.serve("other", "static")
	var answered atomic.Int64
	var all sync.WaitGroup
	for n := range 20 { // at once: the first alert about a visitor blocks it
		all.Go(func() {
			if g.request(visitor(n%5), "shop", tenRules[n%10], "User-Agent: nikto/2.5") == 200 {
				answered.Add(1)
			}
		})
	}
	all.Wait()
	const framed = "203.0.113.77"
	for n := range 5 {
		require.Equal(t, 200, g.request(visitor(5+n), "behind", tenRules[n], "X-Forwarded-For: "+framed))
	}
	g.judged(uint64(answered.Load()) + 5)
	rules := map[string]bool{}
	for _, a := range g.alerts() {
		rules[a.Rule.ID] = true
	}
	framedBlocks := len(blocksOf(t, g.blocklist(), framed))
	t.Logf("20 GETs from 5 addresses, %d answered (bar ≥ 10), alerts of %d rules (bar ≥ 3), containers stopped %v (bar 0); X-Forwarded-For: blocks of the forged address %d (bar 0)", answered.Load(), len(rules), g.stopped(), framedBlocks)
	require.GreaterOrEqual(t, answered.Load(), int64(10))
	require.GreaterOrEqual(t, len(rules), 3)
	require.Empty(t, g.stopped())
	require.Zero(t, framedBlocks)

	c2 := g.listenC2()
	shop := g.serve("flawed", "shop")
	took := g.compromised(c2, visitor(20), "flawed", shop)
	t.Logf("the true compromise beside them: isolated %v after the connection (bar 1s)", took)
	require.LessOrEqual(t, took, time.Second)
	require.NotContains(t, g.stopped(), id)
}

// Three GETs at bystanders take no place of the cap from the real victim. When it is full of real ones, a further one waits and is isolated
// when there is room.
func TestAcceptHostileCaps(t *testing.T) {
	g := newStage(t, "max_share_percent = 30\nmax_per_minute = 100\nmax_per_project = 100\n", "shop0", "shop1", "shop2", "shop3")
	var shops []string
	for n := range 4 {
		shops = append(shops, g.serve(fmt.Sprintf("shop%d", n), "shop"))
	}
	for n := range 6 {
		g.serve(fmt.Sprintf("bystander%d", n), "everything")
	}
	for n := range 3 {
		require.Equal(t, 200, g.request(visitor(n), fmt.Sprintf("bystander%d", n), "/c99.php?cmd=id"))
	}
	g.judged(3)
	c2 := g.listenC2()
	took := g.compromised(c2, visitor(10), "shop0", shops[0])
	t.Logf("3 GETs at bystanders under a cap of 3 of 10, then the real victim: isolated after %v (bar 1s), stopped %v (bar [shop0])", took, g.stopped())
	require.LessOrEqual(t, took, time.Second)
	require.Equal(t, []string{"shop0"}, g.stopped())

	for n := 1; n < 3; n++ {
		name := fmt.Sprintf("shop%d", n)
		g.compromise(c2, visitor(10+n), name)
		g.untilIsolated(shops[n])
	}
	g.compromise(c2, visitor(13), "shop3")
	g.eventually(func() bool {
		waiting := g.ironpost("quarantine", "waiting")
		return strings.Contains(waiting, "shop3") && strings.Contains(waiting, "room")
	})
	require.Len(t, g.stopped(), 3)
	g.ironpost("release", "shop0", "--reason", "mended")
	began := time.Now()
	took = g.untilIsolated(shops[3]).Sub(began)
	t.Logf("a cap full of 3 real ones: the fourth waits, and is isolated %v after one is released (bar 5s)", took)
	require.LessOrEqual(t, took, 5*time.Second)
}

// Lines of a container that name 12,000 addresses block none that is not connected to it, and the blocked attacker stays blocked. A line
// that names the address of another container does not have it isolated.
func TestAcceptHostileList(t *testing.T) {
	g := newStage(t, wideCaps)
	g.serve("shop", "everything")
	g.serve("forger", "forger")
	other := g.serve("other", "static")
	in, _, err := g.docker.Inspect(t.Context(), other)
	require.NoError(t, err)
	attacker := visitor(0)
	require.Equal(t, 200, g.request(attacker, "shop", "/?file=../../../../etc/passwd"))
	blocked := func() bool { return len(blocksOf(t, g.blocklist(), attacker)) == 1 }
	g.eventually(blocked)
	g.eventually(func() bool { return g.request(attacker, "shop", "/") == 0 })

	const lines = 12_000
	began := time.Now()
	for batch := range lines / 1000 {
		var body strings.Builder
		for n := range 1000 {
			from := fmt.Sprintf("203.%d.%d.%d", batch+1, n/250, n%250+1)
			if n%100 == 0 {
				from = in.Networks[0].IPv4.String()
			}
			fmt.Fprintf(&body, "%s - - [%s] \"GET /%d?file=../../../../etc/passwd HTTP/1.1\" 200 9 \"-\" \"-\"\n", from, time.Now().Format("02/Jan/2006:15:04:05 -0700"), n)
		}
		require.Equal(t, 200, g.send(visitor(1), "forger", "POST", "/", body.String()))
	}
	g.judged(lines)
	all, _, err := g.blocklist().List(t.Context())
	require.NoError(t, err)
	t.Logf("%d forged lines of a container in %v: %d other addresses blocked (bar 0), the attacker is still blocked: %v, other containers stopped %v (bar 0)",
		lines, time.Since(began).Round(time.Second), len(all)-1, blocked(), g.stopped())
	require.Len(t, all, 1)
	require.True(t, blocked())
	require.Zero(t, g.request(attacker, "shop", "/"), "still dropped by the kernel")
	require.Empty(t, g.stopped())
}

// Labels baked into an image neither protect its containers nor silence their logs, and the status tells of them; those given at docker run count.
func TestAcceptHostileLabels(t *testing.T) {
	g := newStage(t, wideCaps, "baked", "run")
	labels := map[string]string{"ironpost.protected": "true", "ironpost.logs": "off"}
	g.engine.Image(t, "third-party:1", labels)
	c2 := g.listenC2()
	baked := g.serve("baked", "shop", func(o *testenv.ContainerOptions) { o.Image = "third-party:1" })
	took := g.compromised(c2, visitor(0), "baked", baked)

	run := g.serve("run", "shop", func(o *testenv.ContainerOptions) { o.Labels = map[string]string{"ironpost.protected": "true"} })
	g.compromise(c2, visitor(1), "run")
	g.eventually(func() bool {
		for _, a := range g.actions() {
			if a.Container != nil && a.Container.ID == run && strings.Contains(a.Reason, "protected") {
				return true
			}
		}
		return false
	})
	status := fmt.Sprint(g.module(bus.ContainerGuard))
	require.Contains(t, status, "label ironpost.protected of the image does not count")
	require.Contains(t, status, "never acted on, protected")
	t.Logf("labels of the image: isolated after %v (bar 1s); labels of docker run: stopped %v (bar [baked])", took, g.stopped())
	require.LessOrEqual(t, took, time.Second)
	require.Equal(t, []string{"baked"}, g.stopped())
}

// An upload, then the web shell connects to its master: isolated within a second of that connection.
func TestAcceptHostileCompromise(t *testing.T) {
	const bar, rounds = time.Second, 10
	var names []string
	for n := range rounds {
		names = append(names, fmt.Sprintf("shop%d", n))
	}
	g := newStage(t, wideCaps, names...)
	c2 := g.listenC2()
	var all []time.Duration
	for n, name := range names {
		id := g.serve(name, "shop")
		all = append(all, g.compromised(c2, visitor(n), name, id))
	}
	t.Logf("connection of the web shell → container frozen: %s (bar max 1s)", summary(all))
	for _, took := range all {
		require.LessOrEqual(t, took, bar)
	}
	require.Len(t, g.stopped(), rounds)
}
