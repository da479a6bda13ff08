package event_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden holds the full form of every record on the wire.
func golden() map[string]any {
	at := time.Date(2026, 3, 14, 15, 9, 26, 535000000, time.UTC)
	expiry, uid := at.Add(time.Hour), uint32(1000)
	container := &event.Container{ID: "4f6c1b2a9d3e", Name: "shop-web-1", Image: "shop/web:1.4"}
	counts := map[string]uint64{"announcement": 1, "probes": 1002, "ports": 1000, "refused": 991}
	records := map[string]any{
		"alert": &event.Alert{
			ID: "9b1de2c44f6a70d35a11c0ffee123456", Schema: event.Schema, TraceID: "4bf92f3577b34da6a3ce929d0e0e4736",
			Time: at, FirstSeen: at.Add(-time.Minute), LastSeen: at, Received: at, Count: 14, Update: true,
			Module: "log-pipeline", Host: "web-1",
			Rule:     event.Rule{ID: "1d0f8c6a-3c1e-4a53-9d51-2f6f2f0a6c11", Title: "SSH brute force", Level: event.High, Tags: []string{"attack.credential-access", "attack.t1110"}},
			Severity: event.High, Title: "SSH brute force from 192.0.2.7", Description: "Many failed logins from one address.",
			Source: &event.Endpoint{IP: "192.0.2.7", Port: 50022}, Target: &event.Endpoint{IP: "198.51.100.4", Port: 22},
			Container: container, PID: 4711, User: "root",
			Vulnerability: &event.Vulnerability{
				ID: "CVE-2024-0001", Aliases: []string{"GO-2024-0001"}, Severity: event.Critical,
				SeverityUnknown: true, Score: 9.8, Vector: "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", KEV: true, EPSS: 0.94, Fixed: "v1.0.1", Summary: "A summary.",
			},
			Findings: []event.Finding{{
				PURL: "pkg:golang/example.org/mod@v1.0.0", Version: "v1.0.0", Fixed: "v1.0.1", Location: "go.mod",
				ID: "CVE-2024-0001", Aliases: []string{"GO-2024-0001"}, Severity: event.Critical, SeverityUnknown: true, Score: 9.8, KEV: true, Reopened: true,
			}},
			Evidence: []string{"Mar 14 15:09:26 web-1 sshd[811]: Failed password for root from 192.0.2.7 port 50022 ssh2"},
			Matched:  []event.Matched{{Field: "action", Value: "login_failed", Why: "action: login_failed"}},
			Series:   "6a70d35a11c0ffee1234569b1de2c44f", Revision: 3, State: event.Ongoing, Escalated: true,
			Peak: 300_000, Totals: map[string]uint64{"packets": 1_200_000, "sources": 4000}, Ports: []uint16{80, 443}, Members: []string{"user:root", "user:admin"},
			Origin:  &event.Origin{Transport: event.TransportSyslogTCP, Peer: "192.0.2.9:40312", UID: &uid, Exe: "/usr/sbin/sshd", Unit: "ssh.service", Source: "/var/log/auth.log", Container: "4f6c1b2a9d3e"},
			Trust:   event.TrustUnproven,
			LogHost: "web-1.example.org", Service: "sshd",
			Request:    &event.Request{Method: "GET", Path: "/uploads/x.php", Status: 200},
			DedupKey:   "1d0f8c6a-3c1e-4a53-9d51-2f6f2f0a6c11|ip:192.0.2.7|web-1",
			Incomplete: []event.Incomplete{{Counter: "udp_dropped", Amount: 3}},
		},
		"action": &event.Action{
			ID: "0192f0c1d2e3f405", Schema: event.Schema, TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", Time: at,
			Module: "container-guard", Host: "web-1", AlertID: "9b1de2c44f6a70d35a11c0ffee123456", Policy: "isolate-web", Operator: "alice (uid 1000)",
			Kind: "isolate", Target: "container:4f6c1b2a9d3e", Container: container, Phase: event.Failed, DryRun: true,
			Reason: "critical alert in project shop", Error: "network shop_default: no such container", DurationMS: 41,
			Undo: "ironpost release 4f6c1b2a9d3e", ExpiresAt: &expiry,
		},
		"packet_window": &event.Packet{
			ID: "web-1-eth0-1710428966", Schema: event.Schema, TraceID: "00000000000000000000000000000001", Time: at, Host: "web-1", Interface: "eth0",
			Kind: event.Window, Sampling: 64, Lost: 2,
			Window: &event.TrafficWindow{
				DurationMS: 1000, Packets: 120, Bytes: 90000, Dropped: 4, Classes: map[string]uint64{"tcp_syn": 20, "udp": 7},
				Sources: 12, Promoted: 1, Talkers: []event.Talker{{IP: "192.0.2.7", Packets: 60, Bytes: 4800}},
			},
		},
		"packet_flows": &event.Packet{
			ID: "web-1-eth0-f-1", Schema: event.Schema, TraceID: "00000000000000000000000000000001", Time: at, Host: "web-1", Interface: "eth0", Kind: event.Flows, Sampling: 64,
			Flows: []event.Flow{{Source: event.Endpoint{IP: "192.0.2.7", Port: 50022}, Target: event.Endpoint{IP: "198.51.100.4", Port: 22}, Protocol: "tcp", Flags: "S", Bytes: 60}},
		},
		"packet_detection": &event.Packet{
			ID: "web-1-eth0-d-1", Schema: event.Schema, TraceID: "00000000000000000000000000000001", Time: at, Host: "web-1", Interface: "eth0", Kind: event.Detection,
			Detection: &event.TrafficFinding{
				Name: "port_scan", Method: "syn", Phase: "begun", Actor: "192.0.2.7", Target: event.Endpoint{IP: "198.51.100.4"}, DurationMS: 4000, Counts: counts,
				Direction: "outbound", NATAddress: "203.0.113.1", MayBeDecoy: true,
				Ports: []uint16{21, 22, 23}, Hosts: []string{"198.51.100.4"}, Lacking: []string{"egress"},
			},
		},
		"packet_blocked": &event.Packet{
			ID: "web-1-eth0-b-1", Schema: event.Schema, TraceID: "00000000000000000000000000000001", Time: at, Host: "web-1", Interface: "eth0", Kind: event.Blocked,
			Blocked: []event.BlockedTraffic{{Prefix: "192.0.2.0/24", Reason: "port_scan", Packets: 991, Bytes: 59460}},
		},
		"log": &event.Log{
			ID: "5d41402abc4b2a76", Schema: event.Schema, TraceID: "00000000000000000000000000000002", Time: at, Received: at, Host: "web-1", Source: "file:/var/log/auth.log",
			Process: "sshd", Message: "Accepted publickey for deploy", Fields: map[string]string{"user": "deploy", "pid": "811"},
			Origin: &event.Origin{Transport: event.TransportFile, Source: "/var/log/auth.log"}, Trust: event.TrustUnproven, LogHost: "web-1",
		},
		"module_health": &event.ModuleHealth{
			Name: "log-pipeline", Host: "web-1", Enabled: true, Status: event.Degraded, Reasons: []string{"rule file local.yml:3:1: title is missing"},
			Details: []event.Reason{{Topic: "rules", Status: event.Degraded, Text: "rule file local.yml:3:1: title is missing", Since: at}},
			Since:   at, Counters: map[string]uint64{"lines": 2000, "alerts": 12},
		},
		"daemon_health": &event.DaemonHealth{
			Host: "web-1", Time: at, Version: "v0.1.0", Status: event.Healthy, UptimeSecs: 61,
			Durability: "set by sync_interval of the servers of the external bus",
			Modules:    []event.ModuleHealth{{Name: "action-collector", Host: "web-1", Enabled: true, Since: at}},
		},
	}
	records["observed_alert"] = records["alert"].(*event.Alert).Observed()
	records["observed_action"] = records["action"].(*event.Action).Observed()
	return records
}

func TestRecordsKeepTheirGoldenForm(t *testing.T) {
	for name, record := range golden() {
		t.Run(name, func(t *testing.T) {
			got, err := json.MarshalIndent(record, "", "  ")
			require.NoError(t, err)
			got = append(got, '\n')
			path := filepath.Join("testdata", name+".json")
			if *update {
				require.NoError(t, os.WriteFile(path, got, 0o600))
			}
			want, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, string(want), string(got))
		})
	}
}

func TestGoldenFormsReadBack(t *testing.T) {
	for name, record := range golden() {
		b, err := os.ReadFile(filepath.Join("testdata", name+".json"))
		require.NoError(t, err)
		back := reflect.New(reflect.TypeOf(record).Elem()).Interface()
		require.NoError(t, json.Unmarshal(b, back), name)
		require.Equal(t, record, back, name)
	}
}

func TestEveryFieldHasAGoldenValue(t *testing.T) {
	filled := map[string]bool{}
	for _, record := range golden() {
		collectFilled(reflect.ValueOf(record).Elem(), filled)
	}
	for field, set := range filled {
		require.True(t, set, "%s is empty in every golden record", field)
	}
}

// collectFilled records for every struct field of package event below v whether
// any record fills it.
func collectFilled(v reflect.Value, filled map[string]bool) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name := v.Type().Name() + "." + field.Name
		value := v.Field(i)
		filled[name] = filled[name] || !value.IsZero() || value.Kind() == reflect.Uint8
		eachStruct(value, func(s reflect.Value) { collectFilled(s, filled) })
	}
}

func eachStruct(v reflect.Value, do func(reflect.Value)) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			eachStruct(v.Elem(), do)
		}
	case reflect.Slice:
		for i := range v.Len() {
			eachStruct(v.Index(i), do)
		}
	case reflect.Struct:
		if v.Type() != reflect.TypeFor[time.Time]() {
			do(v)
		}
	}
}

func TestDecodeIgnoresUnknownFields(t *testing.T) {
	b, err := os.ReadFile("testdata/alert.json")
	require.NoError(t, err)
	newer := bytes.Replace(b, []byte("{"), []byte(`{"added_in_schema_9": [1, 2],`), 1)
	var a event.Alert
	require.NoError(t, event.Decode(newer, &a))
	require.Equal(t, golden()["alert"], &a)
}

func TestEncodeRefusesInvalidRecords(t *testing.T) {
	for name, spoil := range map[string]func(*event.Alert){
		"id is missing":              func(a *event.Alert) { a.ID = "" },
		"id is longer than":          func(a *event.Alert) { a.ID = strings.Repeat("x", 300) },
		"schema is missing":          func(a *event.Alert) { a.Schema = 0 },
		"time is missing":            func(a *event.Alert) { a.Time = time.Time{} },
		"module is missing":          func(a *event.Alert) { a.Module = "" },
		"host is missing":            func(a *event.Alert) { a.Host = "" },
		"rule.id is missing":         func(a *event.Alert) { a.Rule.ID = "" },
		"title is missing":           func(a *event.Alert) { a.Title = "" },
		"dedup_key is missing":       func(a *event.Alert) { a.DedupKey = "" },
		"count is 0, not positive":   func(a *event.Alert) { a.Count = 0 },
		"severity 9 is out of range": func(a *event.Alert) { a.Severity = 9 },
	} {
		a := golden()["alert"].(*event.Alert)
		spoil(a)
		_, err := event.Encode(a)
		require.ErrorContains(t, err, name)
	}
	p := golden()["packet_window"].(*event.Packet)
	p.Window = nil
	_, err := event.Encode(p)
	require.ErrorContains(t, err, `kind "window" without its part`)
	act := golden()["action"].(*event.Action)
	act.Phase = "maybe"
	_, err = event.Encode(act)
	require.ErrorContains(t, err, `phase "maybe" is none of`)
}

func TestEncodeKeepsToTheCaps(t *testing.T) {
	a := golden()["alert"].(*event.Alert)
	a.Description = strings.Repeat("é", 5000)
	a.Evidence = repeat(strings.Repeat("\x01", 5000), 100)
	a.Findings = make([]event.Finding, 1000)
	a.Matched = nil
	for range 200 {
		a.Matched = append(a.Matched, event.Matched{Field: "f", Value: strings.Repeat("v", 9000), Why: "w"})
	}
	b, err := event.Encode(a)
	require.NoError(t, err)
	require.LessOrEqual(t, len(b), event.MaxSize)

	var back event.Alert
	require.NoError(t, event.Decode(b, &back))
	require.LessOrEqual(t, len(back.Evidence), event.MaxEvidence)
	require.LessOrEqual(t, len(back.Evidence[0]), event.MaxEvidenceSize)
	require.LessOrEqual(t, len(back.Findings), event.MaxFindings)
	require.True(t, strings.HasSuffix(back.Description, "é"), "cut between runes")
}

// A stock NATS client prints the JSON to a terminal.
func TestEncodedTextHoldsNoTerminalControls(t *testing.T) {
	a := golden()["alert"].(*event.Alert)
	hostile := "\x1b[2J\x7f\u0085\u009b2J\u200b\u202e\u2028\U000e0041\xffé🔒한"
	a.Evidence, a.User = []string{hostile}, hostile
	b, err := event.Encode(a)
	require.NoError(t, err)
	require.Contains(t, string(b), `\u001b[2J\u007f\u0085\u009b2J\u200b\u202e\u2028\udb40\udc41\ufffdé🔒한`)
	for _, r := range string(b) {
		require.True(t, unicode.IsPrint(r), "%q", r)
	}
	var back event.Alert
	require.NoError(t, event.Decode(b, &back))
	require.Equal(t, strings.ToValidUTF8(hostile, "\ufffd"), back.User)
}

func TestDecodeRefusesALargeRecord(t *testing.T) {
	require.ErrorIs(t, event.Decode(make([]byte, event.MaxSize+1), &event.Alert{}), event.ErrTooLarge)
}

func TestWorstIgnoresDisabledModules(t *testing.T) {
	off := event.ModuleHealth{Status: event.Unhealthy}
	on := func(s event.Status) event.ModuleHealth { return event.ModuleHealth{Enabled: true, Status: s} }
	require.Equal(t, event.Healthy, event.Worst(nil))
	require.Equal(t, event.Healthy, event.Worst([]event.ModuleHealth{off, on(event.Healthy)}))
	require.Equal(t, event.Degraded, event.Worst([]event.ModuleHealth{on(event.Healthy), on(event.Degraded)}))
	require.Equal(t, event.Unhealthy, event.Worst([]event.ModuleHealth{on(event.Unhealthy), on(event.Degraded)}))
}

func TestSeverityWords(t *testing.T) {
	for _, word := range []string{"info", "low", "medium", "high", "critical"} {
		s, err := event.ParseSeverity(word)
		require.NoError(t, err)
		require.Equal(t, word, s.String())
	}
	s, err := event.ParseSeverity("informational")
	require.NoError(t, err)
	require.Equal(t, event.Info, s)
	_, err = event.ParseSeverity("High")
	require.ErrorContains(t, err, "none of info, low, medium, high, critical")
}

func repeat(s string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = s
	}
	return out
}

// FuzzRoundTrip checks that a record that decodes encodes within the caps, and that
// decoding and encoding it again gives the same bytes.
func FuzzRoundTrip(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, r := range []event.Record{&event.Alert{}, &event.Action{}, &event.Packet{}, &event.Log{}} {
			if event.Decode(b, r) != nil {
				continue
			}
			once, err := event.Encode(r)
			if err != nil {
				continue // a time outside RFC 3339, or nothing left to drop
			}
			require.LessOrEqual(t, len(once), event.MaxSize)
			require.NoError(t, event.Decode(once, r))
			twice, err := event.Encode(r)
			require.NoError(t, err)
			require.Equal(t, string(once), string(twice))
		}
	})
}

// Findings whose every field is at its cap fit one alert, all of them.
func TestFiftyLongFindingsFit(t *testing.T) {
	long := strings.Repeat("x", 4096)
	a := golden()["alert"].(*event.Alert)
	a.Description, a.Vulnerability.Summary = long, long
	a.Findings = nil
	for range event.MaxFindings + 1 {
		a.Findings = append(a.Findings, event.Finding{PURL: long, Version: long, Fixed: long, Location: long, ID: long, Aliases: []string{long, long, long, long, long}, Severity: event.High, Score: 7.5})
	}
	b, err := event.Encode(a)
	require.NoError(t, err)
	var back event.Alert
	require.NoError(t, event.Decode(b, &back))
	require.Len(t, back.Findings, event.MaxFindings)
}
