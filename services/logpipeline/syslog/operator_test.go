package syslog_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/services/logpipeline/syslog"
)

func TestSentMessagesAreSpooledWithTheOperatorsName(t *testing.T) {
	r := newRig(t, func(c *syslog.Config) { c.MaxMessage = 8 })
	require.NoError(t, r.srv.Take("alice (uid 1000)", []syslog.Sent{{Text: []byte("one")}, {Text: []byte("\xff\x00")}, {Text: []byte("cut"), Truncated: true}, {Text: []byte("longer than 8")}}))
	lines, err := r.tail.Next(t.Context(), 10)
	require.NoError(t, err)
	var got []syslog.Record
	for _, l := range lines {
		rec, err := syslog.DecodeRecord(l.Text)
		require.NoError(t, err)
		require.Equal(t, syslog.Operator, rec.Transport)
		require.Equal(t, "alice (uid 1000)", rec.Name)
		got = append(got, rec)
	}
	require.Len(t, got, 4)
	require.Equal(t, "one", string(got[0].Message))
	require.Equal(t, "\xff\x00", string(got[1].Message))
	require.True(t, got[2].Truncated)
	require.Equal(t, "longer t", string(got[3].Message))
	require.True(t, got[3].Truncated)
	require.Equal(t, int64(4), r.srv.Stats().Received[syslog.Operator])
	require.Equal(t, int64(2), r.srv.Stats().Truncated)
}

// Without room all messages of a request are refused, and others still find their own.
func TestSentMessagesOfAFullSpoolAreRefused(t *testing.T) {
	r := newRig(t, func(c *syslog.Config) { c.MaxBytes = 64 << 10 })
	batch := []syslog.Sent{{Text: []byte(strings.Repeat("x", 1000))}, {Text: []byte(strings.Repeat("y", 1000))}}
	taken := 0
	for r.srv.Take("alice", batch) == nil {
		taken++
	}
	require.ErrorIs(t, r.srv.Take("alice", batch), syslog.ErrFull)
	require.Equal(t, int64(2*taken), r.srv.Stats().Received[syslog.Operator])
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n := 0
	for {
		lines, err := r.tail.Next(ctx, 10)
		if err != nil {
			break
		}
		n += len(lines)
		r.tail.Done(lines)
	}
	require.Equal(t, 2*taken, n)
}
