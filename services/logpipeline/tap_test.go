package logpipeline_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/services/logpipeline"
)

// An operator sees the lines that come, with their fields. Observers and other modules are refused.
func TestOnlyOperatorsWatchLines(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	subject := bus.VerbSubject(bus.LogPipeline, r.bus.Host(), logpipeline.VerbTap)
	operator, err := bus.DialSocket(t.Context(), r.bus.Socket())
	require.NoError(t, err)
	defer func() { require.NoError(t, operator.Close(context.WithoutCancel(t.Context()))) }()
	var opened logpipeline.TapReply
	require.NoError(t, operator.Request(t.Context(), subject, logpipeline.TapRequest{Source: r.watched}, &opened))
	r.write(failed("root", "192.0.2.7"))
	var line logpipeline.TappedLine
	require.Eventually(t, func() bool {
		var got logpipeline.TapReply
		require.NoError(t, operator.Request(t.Context(), subject, logpipeline.TapRequest{ID: opened.ID}, &got))
		if len(got.Lines) == 0 {
			return false
		}
		require.NoError(t, json.Unmarshal(got.Lines[0], &line))
		return true
	}, patience, tick)
	require.Equal(t, "192.0.2.7", line.Fields["src_ip"])
	require.Equal(t, r.watched, line.Input)

	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	require.Error(t, r.bus.Conn(bus.SBOMScanner).Request(ctx, subject, logpipeline.TapRequest{}, nil))
	_, err = r.bus.Observer().Request(subject, []byte("{}"), time.Second)
	require.Error(t, err)
}
