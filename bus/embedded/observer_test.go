package embedded_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/bus/embedded"
)

func TestObserverSeesStoredAlertsOnce(t *testing.T) {
	t.Parallel()
	b := bustest.New(t, bustest.WithConfig(evidence))
	sub := listen(t, b.Observer(), bus.RepublishedAlerts)
	js := publisher(t, b)
	for range 3 { // one id: stored once
		_, err := js.PublishMsg(within(t), withID(bus.AlertSubject(bus.LogPipeline, b.Host()), "a"))
		require.NoError(t, err)
	}
	alert(t, b, js, "last")

	first := next(t, sub)
	require.Equal(t, "a", first.Header.Get("Nats-Msg-Id"))
	require.Equal(t, "last", string(next(t, sub).Data))
}

func withID(subject, id string) *nats.Msg {
	msg := nats.NewMsg(subject)
	msg.Header.Set("Nats-Msg-Id", id)
	return msg
}

func TestObserverMaySubscribeToRepublishedSubjects(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	nc := b.Observer()
	for _, feed := range []string{"ironpost.alerts", "ironpost.actions", "ironpost.health", "_INBOX.mine.>"} {
		require.False(t, subscribeRefused(t, nc, feed, ""), feed)
	}
}

func TestObserverMaySubscribeToNothingElse(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	nc := b.Observer()
	for _, subject := range []string{
		">", "*", "ironpost.>", "ironpost.*", "*.alerts", "ironpost.packets", "ironpost.alerts.*.*", "ironpost.alerts.>",
		"ironpost.svc.>", "ironpost.dlq.>", "$JS.>", "$JS.API.>", "$JS.EVENT.>", "$KV.>", "$SRV.>", "$SRV.PING", "$SYS.>", "_R_.>",
		bus.InboxPrefix(bus.LogPipeline, b.Host()) + ".>", "_INBOX_operator.>", "*.>",
	} {
		require.True(t, subscribeRefused(t, nc, subject, ""), subject)
	}
}

func TestObserverMayPublishNothing(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	nc := b.Observer()
	for _, subject := range []string{
		"ironpost.alerts", "ironpost.actions", "ironpost.health", "ironpost.packets",
		bus.AlertSubject(bus.LogPipeline, b.Host()), bus.ActionSubject(bus.ContainerGuard, b.Host()),
		bus.VerbSubject(bus.ContainerGuard, b.Host(), "isolate"), bus.VerbSubject(bus.ContainerGuard, b.Host(), "status"),
		bus.DLQSubject(bus.LogPipeline, b.Host()), "$KV.ironpost_blocklist.09090909", "$JS.API.INFO", "$JS.API.STREAM.NAMES",
		"$JS.API.STREAM.DELETE.IRONPOST_ALERTS", "$JS.ACK.x", "$SRV.SCHEMA", "$SRV", "$SRV.PINGS", "$SYS.REQ.USER.INFO",
		"_INBOX.someone.1", "_R_.x", "anything",
	} {
		require.True(t, publishRefused(t, nc, subject), subject)
	}
	for _, stream := range []string{"IRONPOST_ALERTS", "IRONPOST_ACTIONS", "IRONPOST_DLQ", "IRONPOST_PACKETS"} {
		require.Zero(t, stored(t, jetStream(t, b), stream), stream)
	}
}

func TestObserverMayPingServices(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	serve(t, b)
	nc := b.Observer()
	for _, question := range questions() {
		msg, err := nc.Request(question, nil, patience)
		require.NoError(t, err, question)
		require.Contains(t, string(msg.Data), "ironpost-container-guard", question)
	}
}

// A module answers on whatever subject a request names as its reply. Such a request is not
// passed on, and the gateway asks in its own name, so nothing is written anywhere.
func TestReplySubjectAttackChangesNothing(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	feed := listen(t, b.Observer(), bus.RepublishedAlerts)
	serve(t, b)
	nc := b.Observer()
	for _, question := range questions() {
		for _, reply := range []string{
			"$KV.ironpost_blocklist.09090909", "$KV.ironpost_audit.head",
			"ironpost.alerts", "ironpost.actions", "ironpost.health", "ironpost.packets",
			bus.AlertSubject(bus.LogPipeline, b.Host()), bus.ActionSubject(bus.ContainerGuard, b.Host()),
			bus.DLQSubject(bus.ContainerGuard, b.Host()), bus.VerbSubject(bus.ContainerGuard, b.Host(), "isolate"),
			"$JS.API.STREAM.PURGE.IRONPOST_ALERTS", "$JS.API.STREAM.DELETE.IRONPOST_ALERTS", "$SRV.PING", "$SYS.REQ.SERVER.PING",
		} {
			text := exchange(t, b.Server().ObserverAddr(), "CONNECT {}\r\nPUB "+question+" "+reply+" 2\r\n{}\r\n")
			require.Contains(t, text, "-ERR 'permissions violation for publish with reply of")
		}
	}
	for _, question := range questions() { // answered after all of the above
		_, err := nc.Request(question, nil, patience)
		require.NoError(t, err)
	}
	n, _, err := feed.Pending()
	require.NoError(t, err)
	require.Zero(t, n, "another observer saw what was never stored")
	js := jetStream(t, b)
	for _, stream := range []string{
		"IRONPOST_ALERTS", "IRONPOST_ACTIONS", "IRONPOST_DLQ", "IRONPOST_PACKETS",
		"KV_ironpost_blocklist", "KV_ironpost_audit",
	} {
		require.Zero(t, stored(t, js, stream), stream)
	}
}

// A trace header makes a server publish where its sender says.
func TestTraceHeaderOfObserverChangesNothing(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	serve(t, b)
	dest := "NATS/1.0\r\nNats-Trace-Dest: " + bus.AlertSubject(bus.LogPipeline, b.Host()) + "\r\n\r\n"
	text := exchange(t, b.Server().ObserverAddr(), fmt.Sprintf("CONNECT {\"headers\":true}\r\nHPUB $SRV.PING %d %[1]d\r\n%s\r\n", len(dest), dest))
	require.Contains(t, text, "-ERR 'permissions violation for header")
	require.Zero(t, stored(t, jetStream(t, b), "IRONPOST_ALERTS"))
}

func TestObserverReceivesNoRequests(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	serve(t, b)
	subject := bus.VerbSubject(bus.ContainerGuard, b.Host(), "status")
	thief := b.Observer()
	for _, target := range []string{subject, "$SRV.PING", "ironpost.alerts", "ironpost.health", "_INBOX.>"} {
		require.True(t, subscribeRefused(t, thief, target, "q"), target)
		require.True(t, subscribeRefused(t, thief, target, "other"), target)
	}
	operator := b.Raw(bus.Operator)
	for range 40 {
		_, err := operator.Request(subject, nil, patience)
		require.NoError(t, err)
	}
}

// A feed reaches plain observers although another one tried to join a group.
func TestObserverMayNotUseQueueGroups(t *testing.T) {
	t.Parallel()
	b := bustest.New(t, bustest.WithConfig(evidence))
	var subs []*nats.Subscription
	for range 3 {
		subs = append(subs, listen(t, b.Observer(), bus.RepublishedAlerts))
	}
	alert(t, b, publisher(t, b), "one")
	for _, sub := range subs {
		require.Equal(t, "one", string(next(t, sub).Data))
	}
}

func TestObserverReceivesNoRepliesOfModules(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	nc := b.Observer()
	sub := listen(t, nc, "_INBOX.>")
	stored(t, jetStream(t, b), "IRONPOST_ALERTS") // a request and its answer
	alert(t, b, publisher(t, b), "x")             // an acknowledgement
	require.NoError(t, nc.Flush())
	n, _, err := sub.Pending()
	require.NoError(t, err)
	require.Zero(t, n)
}

// A client of the loopback port without a seed is no module.
func TestKeyWithoutSeedIsRefused(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	public := publicKey(t, b.Options(bus.LogPipeline).Seed)
	other := newPair(t)
	_, err := nats.Connect(b.ObserverURL(), nats.Nkey(public, other.Sign))
	require.ErrorIs(t, err, nats.ErrAuthorization)
	unknown, err := other.PublicKey()
	require.NoError(t, err)
	_, err = nats.Connect(b.ObserverURL(), nats.Nkey(unknown, other.Sign))
	require.ErrorIs(t, err, nats.ErrAuthorization)
	for _, o := range []nats.Option{nats.UserInfo("admin", "admin"), nats.Token("x"), nats.UserInfo("SYS", "")} {
		_, err = nats.Connect(b.ObserverURL(), o)
		require.ErrorIs(t, err, nats.ErrAuthorization)
	}
}

func TestWithoutObserverKeyIsRequired(t *testing.T) {
	t.Parallel()
	b := bustest.New(t, bustest.WithConfig(func(c *embedded.Config) { c.Observer = false }))
	require.Empty(t, b.Server().ObserverAddr())
	_, err := nats.Connect("", nats.InProcessServer(b.Options(bus.LogPipeline).InProcess))
	require.Error(t, err)
}

// A taken port is named in health, and opened once it is free.
func TestTakenObserverPortIsNamedAndTakenWhenFree(t *testing.T) {
	t.Parallel()
	first, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	taken := first.Addr().String()
	b := bustest.New(t, bustest.WithConfig(func(c *embedded.Config) { c.ObserverListen, c.CheckInterval = taken, 10*time.Millisecond }))
	require.Empty(t, b.Server().ObserverAddr())
	require.Len(t, b.Server().Health(), 1)
	require.Contains(t, b.Server().Health()[0], taken)
	alert(t, b, publisher(t, b), "stored all the same")

	ctx, cancel := context.WithCancel(t.Context())
	watched := make(chan error, 1)
	go func() { watched <- b.Server().Watch(ctx) }()
	require.NoError(t, first.Close())
	require.Eventually(t, func() bool { return b.Server().ObserverAddr() == taken }, patience, 5*time.Millisecond)
	require.Empty(t, b.Server().Health())
	listen(t, b.Observer(), bus.RepublishedAlerts)
	cancel()
	require.NoError(t, <-watched)
}

// exchange sends text as an observer would and returns what comes until the connection is closed.
func exchange(t *testing.T, address, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(c, text)
	require.NoError(t, err)
	all, err := io.ReadAll(c)
	require.NoError(t, err)
	return string(all)
}

func questions() []string {
	return []string{
		"$SRV.PING", "$SRV.INFO", "$SRV.STATS",
		"$SRV.PING.ironpost-container-guard", "$SRV.INFO.ironpost-container-guard", "$SRV.STATS.ironpost-container-guard",
	}
}

// serve runs the guard's status service.
func serve(t *testing.T, b *bustest.Bus) {
	t.Helper()
	nc := b.Raw(bus.ContainerGuard)
	service, err := micro.AddService(nc, micro.Config{Name: bus.ServiceName(bus.ContainerGuard), Version: "0.0.1"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = service.Stop() })
	require.NoError(t, service.AddEndpoint("status",
		micro.HandlerFunc(func(r micro.Request) { _ = r.Respond([]byte("{}")) }),
		micro.WithEndpointSubject(bus.VerbSubject(bus.ContainerGuard, b.Host(), "status"))))
	require.NoError(t, nc.FlushTimeout(5*time.Second))
	require.NoError(t, nc.LastError())
}
