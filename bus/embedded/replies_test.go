package embedded_test

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
)

// rawConn speaks the client protocol by hand, as an attacker does.
type rawConn struct {
	net.Conn

	in *bufio.Reader
}

// raw connects as another machine with a key. What follows CONNECT is sent together with it.
func (f *fleet) raw(t *testing.T, key nkeys.KeyPair, follows string) *rawConn {
	t.Helper()
	return dialRaw(t, f.address, f.ca.TLS(), key, follows)
}

// dialRaw connects to address with a key: over TLS, or to a server itself if secure is nil.
func dialRaw(t *testing.T, address string, secure *tls.Config, key nkeys.KeyPair, follows string) *rawConn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	line, err := bufio.NewReaderSize(c, 1).ReadString('\n') // what follows belongs to TLS
	require.NoError(t, err)
	var info server.Info
	require.NoError(t, json.Unmarshal([]byte(strings.TrimPrefix(line, "INFO ")), &info))
	require.Equal(t, secure != nil, info.TLSRequired)
	if secure != nil {
		require.Empty(t, info.ClientConnectURLs)
		secure = secure.Clone()
		secure.ServerName = "127.0.0.1"
		c = tls.Client(c, secure)
	}
	public, err := key.PublicKey()
	require.NoError(t, err)
	sig, err := key.Sign([]byte(info.Nonce))
	require.NoError(t, err)
	connect, err := json.Marshal(map[string]any{"nkey": public, "sig": base64.RawURLEncoding.EncodeToString(sig), "headers": true, "verbose": false, "protocol": 1})
	require.NoError(t, err)
	_, err = fmt.Fprintf(c, "CONNECT %s\r\n%s", connect, follows)
	require.NoError(t, err)
	return &rawConn{Conn: c, in: bufio.NewReader(c)}
}

// answer returns what comes until a PONG, or until the connection is closed.
func (c *rawConn) answer(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for {
		line, err := c.in.ReadString('\n')
		all.WriteString(line)
		if err != nil || line == "PONG\r\n" {
			require.False(t, err != nil && !errors.Is(err, io.EOF), "%v after %q", err, all.String())
			return all.String()
		}
	}
}

// foreignReplies are reply subjects that no client may name, because the server would publish there with its own rights.
func foreignReplies(host string) []string {
	return []string{
		"$JS.API.STREAM.DELETE.IRONPOST_ACTIONS", "$JS.API.STREAM.PURGE.IRONPOST_ALERTS", "$JS.API.STREAM.UPDATE.IRONPOST_ALERTS",
		"$JS.API.STREAM.MSG.DELETE.IRONPOST_ALERTS", "$JS.API.CONSUMER.DELETE.IRONPOST_ALERTS.container-guard_" + host,
		"$JS.API.CONSUMER.CREATE.IRONPOST_ALERTS", "$JS.API.DIRECT.GET.IRONPOST_ALERTS", "$JS.ACK.IRONPOST_ALERTS.container-guard_" + host + ".1.1.1.1.0",
		"$KV.ironpost_blocklist.09090909", "$KV.ironpost_audit.head", "ironpost.kv.ironpost_blocklist.09090909", "$SRV.PING", "$SYS.REQ.SERVER.PING", "_R_.x",
		bus.RepublishedAlerts, bus.HealthSubject, bus.AlertSubject(bus.LogPipeline, host), bus.ActionSubject(bus.ContainerGuard, host),
		bus.VerbSubject(bus.ContainerGuard, host, "isolate"), bus.InboxPrefix(bus.Daemon, host) + ".x", bus.InboxPrefix("someone", host) + ".x", "_INBOX_gateway.x",
	}
}

// The server answers a read, and acknowledges a record, with its own rights: with a stream's deletion as the reply, the
// stream was gone. nats-server refuses replies below $JS. itself since 2.15.3, and no others.
func TestAnswersGoToTheOwnInboxOnly(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	subject := bus.AlertSubject(bus.LogPipeline, remoteHost)
	js := jetStream(t, f.bus)
	nc, err := f.connect(f.ca.Client(), f.key)
	require.NoError(t, err)
	for range 3 {
		_, err = nc.Request(subject, nil, patience) // an acknowledgement to the own inbox
		require.NoError(t, err)
	}
	for _, attack := range []string{
		"PUB " + subject + " $JS.API.STREAM.PURGE.IRONPOST_ALERTS 1\r\nx\r\n",
		"PUB $JS.API.DIRECT.GET.IRONPOST_ALERTS $JS.API.STREAM.DELETE.IRONPOST_ACTIONS 13\r\n{\"last_by_su\"}\r\n",
	} {
		c := f.raw(t, f.key, attack+"PING\r\n")
		require.Contains(t, c.answer(t), "-ERR 'permissions violation for publish with reply of")
	}
	require.Equal(t, uint64(3), stored(t, js, "IRONPOST_ALERTS"))
	stored(t, js, "IRONPOST_ACTIONS")
	require.Eventually(t, func() bool { return f.bus.Server().Stats().Refused["remote"] == 2 }, patience, time.Millisecond)
}

// Each way to confuse the check with the server closes the connection and changes nothing.
func TestAttackersOverTLS(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	js := jetStream(t, f.bus)
	subject := bus.AlertSubject(bus.LogPipeline, remoteHost)
	const reply = "$JS.API.STREAM.DELETE.IRONPOST_ACTIONS"
	for _, text := range []string{
		"pub " + subject + " " + reply + " 0\r\n\r\n",
		"PUB\t" + subject + " " + reply + " 0\r\n\r\n",
		"PUB " + subject + "\t" + reply + " 0\r\n\r\n",
		"PUB  " + subject + "  " + reply + " 0\r\n\r\n",
		"PUB " + subject + " " + reply + " 0\n\n",
		"PUB " + subject + " \r" + reply + " 0\r\n\r\n",
		"PUB " + subject + " 3\r\nabcdPUB " + subject + " " + reply + " 0\r\n\r\n",
		"PUB " + subject + " -1\r\n", "PUB " + subject + " 99999999999999999999\r\n", "PUB " + subject + " 262145\r\n",
		"HPUB " + subject + " 20 12\r\nNATS/1.0\r\n\r\n\r\n",
		"CONNECT {}\r\n", "PING PUB " + subject + " " + reply + " 0\r\n",
		"SUB " + strings.Repeat("a", 5000) + " 1\r\n",
		header(subject, "Nats-Trace-Dest: "+subject), header(subject, "Nats-Rollup: all"),
		header(subject, "Nats-Schedule: @at 2099-01-01T00:00:00Z\r\nNats-Schedule-Target: "+reply),
	} {
		answer := f.raw(t, f.key, text+"PING\r\n").answer(t)
		require.Contains(t, answer, "-ERR '", "%q", text)
		require.False(t, strings.HasSuffix(answer, "PONG\r\n"), "%q", text)
	}
	split := f.raw(t, f.key, "")
	for _, c := range []byte("PUB " + subject + " " + reply + " 0") {
		_, err := split.Write([]byte{c})
		require.NoError(t, err)
	}
	_, err := io.WriteString(split, "\r\n\r\n")
	require.NoError(t, err)
	require.Contains(t, split.answer(t), "reply of")
	stored(t, js, "IRONPOST_ACTIONS")
	// What came before was read as the server reads it: one record, of the three bytes that its size says, is not stored,
	// because its end was wrong.
	require.Zero(t, stored(t, js, "IRONPOST_ALERTS"))
}

// A batch that is not committed takes space on the disk that no limit of a stream bounds.
func TestBatchesAreBounded(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	nc, err := f.connect(f.ca.Client(), f.key)
	require.NoError(t, err)
	for n := 1; ; n++ {
		answer, err := nc.RequestMsg(&nats.Msg{Subject: bus.AlertSubject(bus.LogPipeline, remoteHost), Header: nats.Header{
			"Nats-Batch-Id": {"one"}, "Nats-Batch-Sequence": {strconv.Itoa(n)},
		}}, patience)
		require.NoError(t, err)
		if len(answer.Data) > 0 {
			require.Contains(t, string(answer.Data), "batch is too large", "%d", n)
			require.Equal(t, bus.MaxBatch+1, n)
			return
		}
	}
}

func header(subject, lines string) string {
	h := "NATS/1.0\r\n" + lines + "\r\n\r\n"
	return fmt.Sprintf("HPUB %s %d %d\r\n%s\r\n", subject, len(h), len(h), h)
}

// A plug-in reads back what it published, and nothing of other hosts.
func TestAPluginReadsItsOwnRecordsOnly(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	pair := newPair(t)
	public, err := pair.PublicKey()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(f.keyFile("door"), []byte(public+"\npublish alerts\n"), 0o600))
	require.NoError(t, f.bus.Server().Reload())
	alert(t, f.bus, publisher(t, f.bus), "of another host")
	own, inbox := bus.AlertSubject("door", remoteHost), bus.InboxPrefix("door", remoteHost)
	read := func(payload string) string {
		return f.raw(t, pair, fmt.Sprintf("SUB %s.> 1\r\nPUB %s 5\r\nhello\r\nPUB $JS.API.DIRECT.GET.IRONPOST_ALERTS %s.x %d\r\n%s\r\nPING\r\nPING\r\n",
			inbox, own, inbox, len(payload), payload)).answer(t)
	}
	for _, payload := range []string{`{"seq":1}`, `{"seq":1,"next_by_subj":"ironpost.alerts.>"}`} {
		answer := read(payload)
		require.Contains(t, answer, "permissions violation for reading")
		require.NotContains(t, answer, "of another host")
	}
	answer := read(fmt.Sprintf(`{"seq":1,"next_by_subj":%q}`, own))
	require.Contains(t, answer, "PONG")
	require.NotContains(t, answer, "-ERR")
}
