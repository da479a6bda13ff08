package embedded_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/bus/embedded"
)

// patience is for a machine on which every test runs at the same time.
const patience = 2 * time.Minute

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// publishRefused reports whether the server refused nc to publish on subject.
func publishRefused(t testing.TB, nc *nats.Conn, subject string) bool {
	t.Helper()
	payload := []byte("{}")
	if strings.HasPrefix(subject, "$JS.API.DIRECT.GET.") {
		payload = nil // what a payload asks for is checked beside the subject
	}
	require.NoError(t, nc.Publish(subject, payload))
	return violated(t, nc, `publish to "`+subject+`"`)
}

// subscribeRefused reports whether the server refused nc to subscribe.
func subscribeRefused(t testing.TB, nc *nats.Conn, subject, queue string) bool {
	t.Helper()
	sub, err := nc.QueueSubscribeSync(subject, queue)
	require.NoError(t, err)
	defer func() { _ = sub.Unsubscribe() }()
	what := `subscription to "` + subject + `"`
	if queue != "" {
		what += ` using queue "` + queue + `"`
	}
	return violated(t, nc, what)
}

// violated asks after a round trip whether the last thing refused was what.
func violated(t testing.TB, nc *nats.Conn, what string) bool {
	t.Helper()
	require.NoError(t, nc.FlushTimeout(patience))
	err := nc.LastError()
	return err != nil && strings.Contains(strings.ToLower(err.Error()), "permissions violation for "+strings.ToLower(what))
}

// jetStream returns the API with every right a key of this bus has.
func jetStream(t testing.TB, b *bustest.Bus) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(b.Raw(bus.Daemon))
	require.NoError(t, err)
	return js
}

// stored returns how many messages a stream has ever stored.
func stored(t testing.TB, js jetstream.JetStream, stream string) uint64 {
	t.Helper()
	s, err := js.Stream(within(t), stream)
	require.NoError(t, err)
	return s.CachedInfo().State.LastSeq
}

// publisher returns the API of the log pipeline, which may publish alerts.
func publisher(t testing.TB, b *bustest.Bus) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(b.Raw(bus.LogPipeline))
	require.NoError(t, err)
	return js
}

// alert publishes one alert and returns when it is stored.
func alert(t testing.TB, b *bustest.Bus, js jetstream.JetStream, text string) {
	t.Helper()
	_, err := js.Publish(within(t), bus.AlertSubject(bus.LogPipeline, b.Host()), []byte(text))
	require.NoError(t, err)
}

// next returns the next message of sub.
func next(t testing.TB, sub *nats.Subscription) *nats.Msg {
	t.Helper()
	msg, err := sub.NextMsg(patience)
	require.NoError(t, err)
	return msg
}

// listen subscribes and returns when the server knows.
func listen(t testing.TB, nc *nats.Conn, subject string) *nats.Subscription {
	t.Helper()
	sub, err := nc.SubscribeSync(subject)
	require.NoError(t, err)
	require.NoError(t, nc.FlushTimeout(patience))
	return sub
}

// config is what a server of its own needs, without bustest.
func config(t testing.TB, socket string) embedded.Config {
	t.Helper()
	return embedded.Config{
		StoreDir: filepath.Join(t.TempDir(), "bus"), MaxStoreBytes: 64 << 20, Host: "testhost",
		Observer: true, ObserverListen: "127.0.0.1:0", Socket: socket,
	}
}

// evidence lets observers see records as they are, which need not be records then.
func evidence(c *embedded.Config) { c.ObserverEvidence = true }

func quiet() logrus.FieldLogger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}

func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bus") //nolint:usetesting // its path is too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
