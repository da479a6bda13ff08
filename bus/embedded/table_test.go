package embedded_test

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
)

var update = flag.Bool("update", false, "write the golden files")

// client is a connection with one kind of key, of a host. The table says local where a key connects within this process only, unchecked.
type client struct {
	kind, host string
	nc         *nats.Conn
	raw        func(follows string) *rawConn // another one, by hand; nil within this process
}

// clients connects with each kind of key there is: those that only this process has, of all others that are given to other
// machines one over TLS, and none.
func clients(t *testing.T) (*fleet, []client) {
	t.Helper()
	const plugin = "door"
	f := newFleet(t)
	var all []client
	for _, role := range []string{bus.Daemon, bus.Forwarder} {
		all = append(all, client{role, f.bus.Host(), f.bus.Raw(role), nil})
	}
	pairs := map[string]nkeys.KeyPair{}
	for _, name := range append(bus.ModuleNames(), bus.Operator, bus.Edge, plugin) {
		pairs[name] = newPair(t)
		public, err := pairs[name].PublicKey()
		require.NoError(t, err)
		lines := public + "\n"
		if name == plugin {
			lines += "publish alerts\n"
		}
		require.NoError(t, os.WriteFile(f.keyFile(name), []byte(lines), 0o600))
	}
	require.NoError(t, f.bus.Server().Reload())
	for name, pair := range pairs {
		nc, err := f.connect(f.ca.Client(), pair)
		require.NoError(t, err)
		t.Cleanup(nc.Close)
		all = append(all, client{name, remoteHost, nc, func(follows string) *rawConn { return f.raw(t, pair, follows) }})
	}
	slices.SortFunc(all, func(a, b client) int { return strings.Compare(a.kind, b.kind) })
	return f, append(all, client{"observer", f.bus.Host(), f.bus.Observer(), func(follows string) *rawConn {
		c, err := net.Dial("tcp", f.bus.Server().ObserverAddr())
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		_, err = io.WriteString(c, "CONNECT {\"verbose\":false}\r\n"+follows)
		require.NoError(t, err)
		return &rawConn{Conn: c, in: bufio.NewReader(c)}
	}})
}

// mayReply reports whether a client may name reply. It publishes where no client may, so that nothing else happens.
func (c client) mayReply(t *testing.T, reply string) bool {
	t.Helper()
	answer := c.raw("PUB nowhere " + reply + " 0\r\n\r\nPING\r\n").answer(t)
	may := strings.HasSuffix(answer, "PONG\r\n")
	require.True(t, may || strings.Contains(answer, "-ERR '"), answer)
	return may
}

// everySubject returns the subjects of the tables in package bus, and of the server, that the keys may be about. HOST stands
// for the key's own host, OTHER for another. What would change something names a stream that does not exist.
func everySubject() (publish, subscribe []string) {
	modules := append(bus.ModuleNames(), "door", bus.Daemon)
	hosts := []string{"HOST", "OTHER"}
	publish = []string{
		bus.RepublishedPackets, bus.RepublishedAlerts, bus.RepublishedActions, bus.HealthSubject, "$SRV.PING", "$SYS.REQ.SERVER.PING", "_INBOX.x", "_R_.x",
	}
	for _, verb := range []string{"CREATE", "UPDATE", "DELETE", "PURGE", "MSG.DELETE", "MSG.GET", "SNAPSHOT", "RESTORE"} {
		publish = append(publish, "$JS.API.STREAM."+verb+".NOSUCH")
	}
	for _, verb := range []string{"CREATE", "DELETE", "PAUSE", "UNPIN"} {
		publish = append(publish, "$JS.API.CONSUMER."+verb+".IRONPOST_ALERTS.nosuch")
	}
	subscribe = []string{">", "ironpost.>", "ironpost.*.*.*", "$JS.>", "$KV.>", "$SYS.>", "_INBOX.>", "$SRV.PING", "$SRV.>", bus.RepublishedPackets, bus.RepublishedAlerts, bus.RepublishedActions, bus.HealthSubject}
	for _, host := range hosts {
		for _, module := range modules {
			publish = append(publish, bus.PacketSubject(module, host), bus.AlertSubject(module, host), bus.ActionSubject(module, host),
				bus.DLQSubject(module, host), bus.VerbSubject(module, host, "status"), bus.InboxPrefix(module, host)+".x")
			subscribe = append(subscribe, bus.AlertSubject(module, host), bus.VerbSubject(module, host, "status"), bus.InboxPrefix(module, host)+".>")
		}
		publish = append(publish, "$JS.API.DIRECT.GET.IRONPOST_ALERTS."+bus.AlertSubject(bus.LogPipeline, host))
		for _, d := range bus.Durables(host, map[string]bool{
			bus.LogPipeline: true, bus.ContainerGuard: true, bus.ActionCollector: true, bus.Forwarder: true,
			bus.SinkName(bus.ActionCollector, bus.SinkPostgreSQL): true,
		}, bus.InFlight{}) {
			tail := string(d.Stream) + "." + d.Name
			publish = append(publish, "$JS.API.CONSUMER.INFO."+tail, "$JS.API.CONSUMER.MSG.NEXT."+tail, "$JS.API.CONSUMER.RESET."+tail, "$JS.ACK."+tail+".1.1.1.1.0")
		}
	}
	for _, s := range bus.Streams(bus.Limits{}) {
		publish = append(publish, "$JS.API.STREAM.INFO."+string(s.Name), "$JS.API.DIRECT.GET."+string(s.Name))
	}
	for _, b := range bus.Buckets(bus.Limits{}) {
		publish = append(publish, "$JS.API.STREAM.INFO.KV_"+b.Name, "$JS.API.DIRECT.GET.KV_"+b.Name, "$KV."+b.Name+".x", "$KV."+b.Name+".hub.x")
		subscribe = append(subscribe, "ironpost.kv."+b.Name+".>")
	}
	return publish, subscribe
}

func inboxOf(c client) string {
	if c.kind == "observer" {
		return "_INBOX"
	}
	return bus.InboxPrefix(c.kind, c.host)
}

// permissionTable tries every subject with each of the clients. admin is the daemon of their bus: whether a client may name a reply must
// change no stream.
func permissionTable(t *testing.T, admin *bus.Conn, all []client) string {
	t.Helper()
	publish, subscribe := everySubject()
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 1, ' ', 0)
	header := "subject"
	for _, c := range all {
		header += "\t" + c.kind
	}
	_, _ = fmt.Fprintln(w, header)
	row := func(verb, subject string, cell func(client) string) {
		line := verb + " " + subject
		for _, c := range all {
			line += "\t" + cell(c)
		}
		_, _ = fmt.Fprintln(w, line)
	}
	for _, s := range publish {
		row("pub", s, func(c client) string { return yes(!publishRefused(t, c.nc, c.subject(s))) })
	}
	for _, s := range subscribe {
		row("sub", s, func(c client) string { return yes(!subscribeRefused(t, c.nc, c.subject(s), "")) })
	}
	before, err := admin.StreamStates(within(t), nil)
	require.NoError(t, err)
	for _, s := range append(foreignReplies("HOST"), "OWN_INBOX.x", "OWN_INBOX", "OWN_INBOXx.x", "OWN_INBOX.>") {
		row("reply", s, func(c client) string {
			if c.raw == nil {
				return "local"
			}
			return yes(c.mayReply(t, c.subject(s)))
		})
	}
	after, err := admin.StreamStates(within(t), nil)
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.NoError(t, w.Flush())
	t.Logf("%d subjects with %d kinds of key\n%s", len(publish)+len(subscribe), len(all), &table)
	return table.String()
}

// subject returns a subject of everySubject, or a reply subject, as it is for c.
func (c client) subject(s string) string {
	return strings.NewReplacer("HOST", c.host, "OTHER", "elsewhere", "OWN_INBOX", inboxOf(c)).Replace(s)
}

func yes(allowed bool) string {
	if allowed {
		return "yes"
	}
	return "-"
}

// Every subject is tried with every kind of key against the server. What is allowed is in testdata/permissions.golden, which
// -update writes: each line of a change to it is a right that is given or taken.
func TestEverySubjectWithEveryKey(t *testing.T) {
	t.Parallel()
	f, all := clients(t)
	table := permissionTable(t, f.bus.Admin(), all)
	golden := filepath.Join("testdata", "permissions.golden")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(golden, []byte(table), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), table)
}
