package parse

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/sigma"
)

// A message whose header came apart from it gives the fields of the same line with the header in it.
func TestMessageWithHeaderApart(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	const text = "Failed password for invalid user admin from 203.0.113.9 port 4711 ssh2"
	p := New(Options{Location: time.UTC})
	got := p.ParseMessage(Header{Time: at, Host: "web1", Process: "sshd", PID: 812, Facility: Facility("4"), Severity: Severity("6")}, text+"\n", at, Input{})
	want := p.Parse([]byte("<38>Mar  4 05:06:07 web1 sshd[812]: "+text), at, Input{})
	require.Equal(t, text, got.Fields.Map()["raw"])
	require.Equal(t, Journal, got.Format)
	want.Format = got.Format
	want.Fields.Set("raw", sigma.Text(text))
	require.Equal(t, want.Fields.Map(), got.Fields.Map())
	want.Fields, got.Fields = sigma.Fields{}, sigma.Fields{}
	require.Equal(t, want, got)
}

func TestHeaderThatIsNearlyEmpty(t *testing.T) {
	t.Parallel()
	got := New(Options{}).ParseMessage(Header{Process: "/usr/bin/a(pam_unix)", Severity: Severity("8"), Facility: Facility("x")}, "b\x81", time.Now(), Input{})
	require.Equal(t, map[string]any{"message": "b\uFFFD", "raw": "b\uFFFD", "process": "a", "tag": "/usr/bin/a(pam_unix)"}, got.Fields.Map())
}
