package logpipeline

import (
	"io"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/logpipeline/parse"
	"github.com/ironpost/ironpost/services/logpipeline/syslog"
)

func dated(t *testing.T, z *sourceZone, said time.Time, received time.Time, backlog bool) *input {
	t.Helper()
	log := logrus.New()
	log.Out = io.Discard
	s := &Service{log: logrus.NewEntry(log)}
	in := lineInput(parse.New(parse.Options{}), nil, "p", []byte(said.Format(time.Stamp)+" web app: hello"), received, z.of)
	in.backlog = backlog
	s.date(in, z, !backlog)
	return in
}

// The text decides the age of a line only if it is backlog, and never by a zone that was learned.
func TestLearnedZoneDecidesNoAge(t *testing.T) {
	now := time.Date(2026, 12, 1, 12, 0, 0, 0, time.Local)
	pacific := now.Add(-8 * time.Hour)
	var zones learnedZones
	settings := newInputSettings(DefaultConfig(), Input{}, nil)
	zone := func() *sourceZone { return (&chunk{read: now}).zoneOf(&zones.here, &settings, "file:/a") }
	for range 5 {
		require.Equal(t, now, dated(t, zone(), pacific, now, false).received)
	}
	in := dated(t, zone(), pacific, now, false)
	require.True(t, in.time.Equal(now))
	require.Equal(t, now, in.received)
	in = dated(t, zone(), pacific, now, true)
	require.True(t, in.time.Equal(now), "it is shown")
	require.True(t, in.received.Equal(pacific), "it is as old as in the zone of this machine")
}

func TestImplausibleTimes(t *testing.T) {
	now := time.Date(2026, 12, 1, 12, 0, 0, 0, time.Local)
	settings := newInputSettings(DefaultConfig(), Input{}, nil)
	for name, c := range map[string]struct {
		said          time.Duration
		backlog, kept bool
	}{
		"an hour old":         {said: -time.Hour, kept: true},
		"two days old":        {said: -48 * time.Hour},
		"backlog of two days": {said: -48 * time.Hour, backlog: true, kept: true},
		"ahead":               {said: 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			var zones learnedZones
			said := now.Add(c.said)
			in := dated(t, (&chunk{read: now}).zoneOf(&zones.here, &settings, "file:/a"), said, now, c.backlog)
			if c.kept {
				require.True(t, in.time.Equal(said))
				require.Empty(t, in.Fields.Text(logTimeField))
				return
			}
			require.Equal(t, now, in.time)
			require.Equal(t, said.UTC().Format(time.RFC3339Nano), in.Fields.Text(logTimeField))
		})
	}
}

// What one sender writes changes the zone of no other.
func TestSendersAreApart(t *testing.T) {
	require.Equal(t, "udp:192.0.2.1", peerOf(syslog.Record{Transport: syslog.UDP, Peer: "192.0.2.1:514"}))
	require.Equal(t, "tls:web-1", peerOf(syslog.Record{Transport: syslog.TLS, Peer: "192.0.2.1:514", Name: "web-1"}))
	uid := uint32(0)
	require.Equal(t, "unix:uid 0", peerOf(syslog.Record{Transport: syslog.Unix, UID: &uid}))
}
