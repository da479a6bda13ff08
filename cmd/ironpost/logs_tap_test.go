package main

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/bus/bustest"
	"github.com/ironpost/ironpost/services/logpipeline"
)

// tapping answers for a log pipeline, with two lines at each request.
func tapping(t *testing.T, b *bustest.Bus) {
	t.Helper()
	text, err := json.Marshal(logpipeline.TappedLine{Received: began, Input: "/var/log/a.log", Format: "json", Fields: map[string]any{
		"message": "x\x1b[2Jy", "n": 7, "raw": "{}", "origin.transport": "file",
	}})
	require.NoError(t, err)
	stop, err := b.Conn(bus.LogPipeline).Serve(context.WithoutCancel(t.Context()), bus.ServiceConfig{
		Module: bus.LogPipeline, Host: b.Host(), Version: "v1.2.3",
		Verbs: map[string]bus.Verb{logpipeline.VerbTap: func(_ context.Context, body []byte) (any, error) {
			var r logpipeline.TapRequest
			if err := json.Unmarshal(body, &r); err != nil || r.ID == "" {
				return logpipeline.TapReply{ID: "1"}, err
			}
			return logpipeline.TapReply{ID: "1", Lines: []json.RawMessage{text, text}, Dropped: 9}, nil
		}},
	})
	require.NoError(t, err)
	t.Cleanup(stop)
}

func TestTapShowsLinesAsTheyCome(t *testing.T) {
	t.Parallel()
	b := bustest.New(t)
	tapping(t, b)
	r := on(t, b, "logs", "tap", "--limit", "3", "--utc")
	require.Equal(t, exitOK, r.code, r.err)
	const line = "2026-11-23T08:00:00Z  /var/log/a.log  json\n    message=x\\x1b[2Jy  n=7\n"
	require.Equal(t, line+line+line, r.out)
	require.Contains(t, r.err, "9 more lines came than could be shown")

	r = on(t, b, "logs", "tap", "--limit", "1", "--json")
	require.Equal(t, exitOK, r.code, r.err)
	var got logpipeline.TappedLine
	require.NoError(t, json.Unmarshal([]byte(r.out), &got))
	require.Equal(t, "{}", got.Fields["raw"])
	require.NotContains(t, r.out, "\x1b")
}
