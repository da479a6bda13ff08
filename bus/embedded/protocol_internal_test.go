package embedded

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
)

const testInbox = "_INBOX_edge_web-1."

var testRights = rights{inbox: testInbox, publish: []string{readPrefix + everything}}

// accepted are lines of clients. Those of nats.go have an empty argument where there is none.
var accepted = []string{
	"PING\r\n", "PONG\r\n", "SUB a 1\r\n", "SUB a  1\r\n", "SUB a q 1\r\n", "UNSUB 1\r\n", "UNSUB 1 \r\n", "UNSUB 1 5\r\n",
	"PUB a 0\r\n\r\n", "PUB a 5\r\nhello\r\n", "PUB a 2\r\n\r\n\r\n", "PUB $JS.ACK.a.b.1.2.3.4.5 4\r\n+ACK\r\n",
	"PUB a _INBOX_edge_web-1.x 5\r\nhello\r\n", "PUB a _INBOX_edge_web-1.x.y.z 0\r\n\r\n",
	"HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n", "HPUB a _INBOX_edge_web-1.x 25 27\r\nNATS/1.0\r\nNats-TTL: 5\r\n\r\n\xff\x00\r\n",
	"HPUB a 21 21\r\nNATS/1.0\r\na: \xc3\xa9\t:\r\n\r\n\r\n",
}

// refused are what a client may not send, with a part of the reason.
var refused = map[string]string{
	// replies
	"PUB a $JS.API.STREAM.DELETE.A 0\r\n\r\n":          "reply",
	"PUB a _INBOX_edge_web-1 0\r\n\r\n":                "reply",
	"PUB a _INBOX_edge_web-10.x 0\r\n\r\n":             "reply",
	"PUB a _inbox_edge_web-1.x 0\r\n\r\n":              "reply",
	"PUB a _INBOX_edge_web-1. 0\r\n\r\n":               "invalid subject",
	"PUB a _INBOX_edge_web-1.> 0\r\n\r\n":              "invalid subject",
	"PUB a _INBOX_edge_web-1.* 0\r\n\r\n":              "invalid subject",
	"PUB a _INBOX_edge_web-1..x 0\r\n\r\n":             "invalid subject",
	"PUB a _R_.x 0\r\n\r\n":                            "reply",
	"PUB a ironpost.kv.ironpost_blocklist.x 0\r\n\r\n": "reply",
	"HPUB a $SRV.PING 12 12\r\nNATS/1.0\r\n\r\n\r\n":   "reply",
	"PUB > 0\r\n\r\n":                                  "invalid subject",
	"PUB a.*.b 0\r\n\r\n":                              "invalid subject",
	// verbs
	"pub a 0\r\n\r\n":                        "unknown protocol operation",
	"Pub a 0\r\n\r\n":                        "unknown protocol operation",
	"PUB\ta 0\r\n\r\n":                       "printable",
	"PUB a\t$JS.API.INFO 0\r\n\r\n":          "printable",
	" PUB a 0\r\n\r\n":                       "unknown protocol operation",
	"PUBLISH a 0\r\n\r\n":                    "unknown protocol operation",
	"CONNECT {}\r\n":                         "once",
	"INFO {}\r\n":                            "unknown protocol operation",
	"MSG a 1 0\r\n\r\n":                      "unknown protocol operation",
	"HMSG a 1 12 12\r\nNATS/1.0\r\n\r\n\r\n": "unknown protocol operation",
	"RS+ A a\r\n":                            "unknown protocol operation",
	"LS+ a\r\n":                              "unknown protocol operation",
	"A+ A\r\n":                               "unknown protocol operation",
	"-ERR 'x'\r\n":                           "unknown protocol operation",
	"+OK\r\n":                                "unknown protocol operation",
	"\r\n":                                   "unknown protocol operation",
	"PING \r\n":                              "unknown protocol operation",
	"PINGPUB a $JS.API.INFO 0\r\n":           "unknown protocol operation",
	"PING x\r\n":                             "unknown protocol operation",
	// line ends
	"PING\n":                 "CRLF",
	"\n":                     "CRLF",
	"PUB a 0\n\r\n":          "CRLF",
	"PUB a 0\r\r\n\r\n":      "printable",
	"PUB a\r 0\r\n\r\n":      "printable",
	"PUB a\x00 0\r\n\r\n":    "printable",
	"PUB \xc3\xa9 0\r\n\r\n": "printable",
	// arguments
	"PUB\r\n":                           "want PUB",
	"PUB a\r\n":                         "want PUB",
	"PUB a b c 0\r\n\r\n":               "want PUB",
	"PUB  a 0\r\n\r\n":                  "invalid subject",
	"PUB a  0\r\n\r\n":                  "invalid subject",
	"PUB a 0 \r\n\r\n":                  "size",
	"HPUB a 12\r\nNATS/1.0\r\n\r\n\r\n": "want HPUB",
	"SUB a\r\n":                         "want SUB",
	"SUB a q 1 2\r\n":                   "want SUB",
	"SUB  a 1\r\n":                      "want SUB",
	"UNSUB\r\n":                         "want UNSUB",
	"UNSUB 1 2 3\r\n":                   "want UNSUB",
	"UNSUB 1 -1\r\n":                    "digits",
	"UNSUB 1 1234567890\r\n":            "digits",
	// sizes
	"PUB a -1\r\n":                         "digits",
	"PUB a +1\r\nx\r\n":                    "digits",
	"PUB a 01\r\nx\r\n":                    "leading",
	"PUB a 0x1\r\nx\r\n":                   "digits",
	"PUB a 1e1\r\n":                        "digits",
	"PUB a 262145\r\n":                     "maximum payload",
	"PUB a 99999999999999999999\r\n":       "maximum payload",
	"PUB a 18446744073709551616\r\n":       "maximum payload",
	"PUB a 4294967296\r\n":                 "maximum payload",
	"PUB a 2\r\nabc\r\n":                   "longer",
	"PUB a 2\r\nab\n\r":                    "longer",
	"HPUB a 13 12\r\nNATS/1.0\r\n\r\n\r\n": "larger",
	"HPUB a -1 12\r\n":                     "digits",
	"HPUB a 20000 20000\r\n":               "larger",
	// headers
	"HPUB a 0 0\r\n\r\n":                             "begin",
	"HPUB a 10 10\r\nNATS/1.0\r\n\r\n":               "end in",
	"HPUB a 12 12\r\nNATS/1.1\r\n\r\n\r\n":           "begin",
	"HPUB a 16 16\r\nNATS/1.0 503\r\n\r\n\r\n":       "begin",
	"HPUB a 18 18\r\nNATS/1.0\r\n\r\na: b\r\n\r\n":   "first empty",
	"HPUB a 16 16\r\nNATS/1.0\r\nab\r\n\r\n\r\n":     "name: value",
	"HPUB a 17 17\r\nNATS/1.0\r\n:ab\r\n\r\n\r\n":    "name: value",
	"HPUB a 19 19\r\nNATS/1.0\r\n a: b\r\n\r\n\r\n":  "name: value",
	"HPUB a 18 18\r\nNATS/1.0\r\na:b\nc\r\n\r\n\r\n": "control",
}

func header(name, value string) string {
	h := "NATS/1.0\r\n" + name + ": " + value + "\r\n\r\n"
	return fmt.Sprintf("HPUB a %d %d\r\n%s\r\n", len(h), len(h), h)
}

// serverActsOn are headers that make the server publish elsewhere, remove messages or believe somebody else asks.
func serverActsOn() []string {
	return []string{
		server.MsgTraceDest, server.MsgTraceOnly, server.MsgTraceHop, server.MsgTraceOriginAccount, server.ClientInfoHdr,
		server.JSMsgRollup, server.JSSchedulePattern, server.JSScheduleTarget, server.JSScheduleSource, server.JSScheduleTTL,
		server.JSMessageIncr, server.JSExpectedLastSubjSeqSubj, server.JSStreamSource, server.JSScheduler, server.JSScheduleNext,
	}
}

func TestProtocolAccepts(t *testing.T) {
	t.Parallel()
	for _, name := range allowedHeaders {
		accepted = append(accepted, header(name, "1"))
	}
	for _, text := range append(accepted, strings.Join(accepted, "")) {
		p := protocolParser{rights: testRights}
		n, err := p.accept([]byte(text))
		require.NoError(t, err, "%q", text)
		require.Equal(t, len(text), n, "%q", text)
		require.False(t, p.message, "%q", text)
	}
}

// Everything is accepted or refused alike when it comes byte by byte.
func TestProtocolAcceptsSplitWrites(t *testing.T) {
	t.Parallel()
	p := protocolParser{rights: testRights}
	var held, passed []byte
	all := strings.Join(accepted, "")
	for i := range len(all) {
		held = append(held, all[i])
		n, err := p.accept(held)
		require.NoError(t, err)
		passed, held = append(passed, held[:n]...), held[n:]
	}
	require.Equal(t, all, string(passed))
	for text, why := range refused {
		p, held := protocolParser{rights: testRights}, []byte(nil)
		var err error
		for i := 0; i < len(text) && err == nil; i++ {
			held = append(held, text[i])
			var n int
			n, err = p.accept(held)
			held = held[n:]
		}
		require.ErrorContains(t, err, why, "%q", text)
	}
}

func TestProtocolRefuses(t *testing.T) {
	t.Parallel()
	for _, name := range serverActsOn() {
		refused[header(name, "all")] = "permissions violation for header"
		refused[header(strings.ToUpper(name), "all")] = "permissions violation for header"
		refused[header("a: b\r\n"+strings.ToLower(name), "all")] = "permissions violation for header"
	}
	for text, why := range refused {
		p := protocolParser{rights: testRights}
		n, err := p.accept([]byte("PING\r\n" + text))
		require.ErrorContains(t, err, why, "%q", text)
		if why != "longer" {
			require.Equal(t, len("PING\r\n"), n, "%q is not forwarded", text)
		}
		for _, c := range err.Error() {
			require.True(t, c >= ' ' && c <= '~', "%q", err)
		}
	}
	p := protocolParser{rights: testRights}
	for _, long := range []string{"PUB " + strings.Repeat("a", maxControlLine), "PUB " + strings.Repeat("a", maxControlLine) + " 0\r\n\r\n"} {
		_, err := p.accept([]byte(long))
		require.ErrorContains(t, err, "maximum control line")
	}
}

// What is held back always fits the buffer, whatever is to come.
func TestProtocolHoldsLessThanTheBuffer(t *testing.T) {
	t.Parallel()
	require.Less(t, maxControlLine+maxHeaderBlock+maxAPIRequest, spliceBuffer)
	text := fmt.Sprintf("HPUB a %d %d\r\nNATS/1.0\r\n%s", maxHeaderBlock, maxHeaderBlock, strings.Repeat("a: b\r\n", maxHeaderBlock/6-2))
	p := protocolParser{rights: testRights}
	n, err := p.accept([]byte(text))
	require.NoError(t, err)
	require.Zero(t, n)
}

// The server queues without a limit what a request reads.
func TestProtocolBoundsReads(t *testing.T) {
	t.Parallel()
	for payload, why := range map[string]string{
		"": "", `{"seq":1}`: "", `{"last_by_subj":"a"}`: "", `{"seq":1,"batch":256,"max_bytes":1048576}`: "",
		`{"seq":1,"batch":1000000000,"max_bytes":2000000000}`: "max_bytes",
		`{"seq":1,"batch":2}`:                             "max_bytes", // the server then takes what it keeps for a client, 16 MiB
		`{"seq":1,"batch":2,"max_bytes":-1}`:              "max_bytes",
		`{"seq":1,"batch":2,"max_bytes":1,"MAX_BYTES":0}`: "max_bytes",
		`{"seq":1,"Batch":2}`:                             "max_bytes",
		`{"multi_last":[">"],"batch":1,"max_bytes":1}`:    "multi_last",
		`{"seq":1`: "JSON",
		strings.Repeat(" ", maxAPIRequest) + "{}": "at most 4096 bytes",
	} {
		for _, text := range []string{
			fmt.Sprintf("PUB $JS.API.DIRECT.GET.A %s.x %d\r\n%s\r\n", strings.TrimSuffix(testInbox, "."), len(payload), payload),
			fmt.Sprintf("HPUB $JS.API.DIRECT.GET.A 12 %d\r\nNATS/1.0\r\n\r\n%s\r\n", 12+len(payload), payload),
		} {
			p, begin := protocolParser{rights: testRights}, len(text)-len(lineEnd)
			n, err := p.accept([]byte(text[:begin-min(1, len(payload))]))
			if len(payload) > 0 && len(payload) <= maxAPIRequest {
				require.NoError(t, err)
				require.Zero(t, n, "the payload is incomplete")
			}
			p = protocolParser{rights: testRights}
			n, err = p.accept([]byte(text))
			if why != "" {
				require.ErrorContains(t, err, why, "%q", text)
				require.Zero(t, n)
				continue
			}
			require.NoError(t, err, "%q", text)
			page := strings.Contains(payload, "batch")
			require.Equal(t, page, p.page, "%q", text)
			if !page {
				require.Equal(t, len(text), n)
				continue
			}
			require.Equal(t, begin, n, "a pause follows each page")
			n, err = p.accept([]byte(text[n:] + "PING\r\n"))
			require.NoError(t, err)
			require.Equal(t, len(lineEnd+"PING\r\n"), n)
			require.False(t, p.page)
		}
	}
	p := protocolParser{rights: testRights}
	_, err := p.accept([]byte("PUB $JS.API.CONSUMER.MSG.NEXT.A.b 38\r\n\u0085{\"expires\":60000,\"idle_heartbeat\":1}\r\n"))
	require.ErrorContains(t, err, "idle_heartbeat")
	p = protocolParser{rights: testRights}
	pulls := strings.Repeat("PUB $JS.API.CONSUMER.MSG.NEXT.A.b _INBOX_edge_web-1.x 2\r\n{}\r\n", 2)
	n, err := p.accept([]byte(pulls))
	require.NoError(t, err)
	require.Equal(t, len(pulls), n)
}

// FuzzProtocol gives the real server what the parser accepts. The server must not find an error in it, and must deliver
// no message with another reply subject than one of the inbox, nor with a header that it acts on.
func FuzzProtocol(f *testing.F) {
	ns, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, NoLog: true, MaxPayload: maxPayload})
	require.NoError(f, err)
	ns.Start()
	f.Cleanup(func() { shutDown(ns) })
	require.True(f, ns.ReadyForConnections(readyTimeout))
	nc, err := nats.Connect("", nats.InProcessServer(ns))
	require.NoError(f, err)
	f.Cleanup(nc.Close)
	sub, err := nc.SubscribeSync(">")
	require.NoError(f, err)
	require.NoError(f, nc.Flush())

	for _, text := range accepted {
		f.Add([]byte(text + "PUB b 1\r\nx\r\n"))
	}
	for text := range refused {
		f.Add([]byte("PUB b 1\r\nx\r\n" + text))
	}
	f.Add([]byte(strings.Join(accepted, "")))
	f.Fuzz(func(t *testing.T, sent []byte) {
		p := protocolParser{rights: testRights}
		n, _ := p.accept(sent)
		passed := string(sent[:n])
		if p.message {
			passed += strings.Repeat("x", p.payload) + lineEnd
		}
		c, err := ns.InProcessConn()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		read := make(chan struct{})
		go func() { defer close(read); _, _ = io.Copy(io.Discard, c) }()
		defer func() { _ = c.Close(); <-read }()
		_ = c.SetWriteDeadline(time.Now().Add(time.Minute))
		_, err = io.WriteString(c, `CONNECT {"headers":true,"verbose":false}`+lineEnd+passed+"PUB done.done 0"+lineEnd+lineEnd)
		if err != nil {
			t.Fatalf("%q: the server closed the connection: %v", sent, err)
		}
		for {
			m, err := sub.NextMsg(time.Minute)
			if err != nil {
				t.Fatalf("%q: the server did not read to the end: %v", sent, err)
			}
			if m.Subject == "done.done" {
				return
			}
			if m.Reply != "" && !strings.HasPrefix(m.Reply, testInbox) {
				t.Fatalf("%q: reply %q", sent, m.Reply)
			}
			for name := range m.Header {
				for _, acts := range serverActsOn() {
					if strings.EqualFold(name, acts) {
						t.Fatalf("%q: header %q", sent, name)
					}
				}
			}
		}
	})
}

// Of the streams a key reads what it may read by a subject, and nothing else by a payload.
func TestMayRead(t *testing.T) {
	t.Parallel()
	of := func(p bus.Permission) rights { return rightsOf(p.Inbox+".", "", p.Publish) }
	r := of(bus.Plugin{Name: "door", Host: "web-1", Publish: []bus.StreamName{bus.Alerts}}.Permission())
	edge, operator := of(bus.Permissions(bus.Edge, "web-1")), of(bus.Permissions(bus.Operator, "web-1"))
	daemon, all := of(bus.Permissions(bus.Daemon, "web-1")), rights{publish: []string{everything}} // of an external bus
	const api, own = readPrefix + "IRONPOST_ALERTS", "ironpost.alerts.door.web-1"
	for payload, want := range map[string]struct{ plugin, edge, operator bool }{
		`{"seq":1}`:                      {false, false, true},
		`{"seq":1,"next_by_subj":""}`:    {false, false, true},
		`{"last_by_subj":"` + own + `"}`: {true, true, true},
		`{"seq":1,"next_by_subj":"` + own + `","batch":9,"max_bytes":9}`:             {true, true, true},
		`{"seq":1,"next_by_subj":"ironpost.alerts.log-pipeline.web-1"}`:              {false, true, true},
		`{"seq":1,"next_by_subj":"ironpost.alerts.*.web-1"}`:                         {false, true, true},
		`{"seq":1,"next_by_subj":"ironpost.alerts.door.*"}`:                          {false, false, true},
		`{"seq":1,"next_by_subj":"ironpost.alerts.door.>"}`:                          {false, false, true},
		`{"seq":1,"next_by_subj":"` + own + `.x"}`:                                   {false, false, true},
		`{"seq":1,"next_by_subj":"ironpost.alerts.door.web-2"}`:                      {false, false, true},
		`{"last_by_subj":"` + own + `","next_by_subj":"ironpost.alerts.door.web-2"}`: {false, false, true},
		`{"LAST_BY_SUBJ":"ironpost.alerts.door.web-2","last_by_subj":"` + own + `"}`: {true, true, true}, // the last one counts, as for the server
		`{"last_by_subj":"` + own + `","Last_By_Subj":"ironpost.alerts.door.web-2"}`: {false, false, true},
		`{"start_time":"2026-11-23T08:00:00Z"}`:                                      {false, false, true},
	} {
		for name, try := range map[string]struct {
			rights
			want bool
		}{"plug-in": {r, want.plugin}, "edge": {edge, want.edge}, "operator": {operator, want.operator}} {
			_, err := try.checkRead(api, []byte(payload))
			require.Equal(t, try.want, err == nil, "%s %s: %v", name, payload, err)
		}
		for _, every := range []rights{daemon, all} {
			_, err := every.checkRead(api, []byte(payload))
			require.NoError(t, err, payload)
		}
	}
	_, err := r.checkRead(readPrefix+"IRONPOST_ACTIONS", []byte(`{"last_by_subj":"ironpost.actions.door.web-1"}`))
	require.Error(t, err)
}
