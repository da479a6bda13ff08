package logpipeline_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/testenv"
	"github.com/ironpost/ironpost/services/logpipeline"
	"github.com/ironpost/ironpost/services/logpipeline/inputstats"
)

// inputs returns the counts of the inputs, by name, as the verb answers.
func (r *rig) inputs() map[string]inputstats.Counts {
	r.t.Helper()
	var reply logpipeline.InputsReply
	require.NoError(r.t, r.admin.Request(r.t.Context(), bus.VerbSubject(bus.LogPipeline, r.bus.Host(), logpipeline.VerbInputs), nil, &reply))
	out := map[string]inputstats.Counts{}
	for _, in := range reply.Inputs {
		require.False(r.t, in.Since.After(in.Last), "%s", in.ID)
		out[in.String()] = in.Counts
	}
	return out
}

// waitInput waits until the input has brought n lines, and returns its counts.
func (r *rig) waitInput(name string, n uint64) inputstats.Counts {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return r.inputs()[name].Lines >= n }, patience, tick, "%s", name)
	return r.inputs()[name]
}

// Files, senders and containers of mixed formats: the counts are those of what was written, to the line and the byte, and
// each line is in exactly one of them.
func TestInputsAreCountedExactly(t *testing.T) {
	t.Parallel()
	d := testenv.Dockerd(t)
	r := newDockerRig(t, d)
	r.cfg.Sources = []string{logpipeline.SourceFile, logpipeline.SourceSyslog, logpipeline.SourceDocker}
	r.cfg.SyslogBind, r.cfg.SyslogTCPBind = freeAddr(t), freeAddr(t)
	r.cfg.MaxLineBytes = 1024
	pattern := filepath.Join(filepath.Dir(r.watched), "*.web")
	r.cfg.WatchPaths = append(r.cfg.WatchPaths, pattern)
	s := r.start()

	old := time.Now().Add(-26 * time.Hour).Format(time.Stamp)
	ahead := time.Now().Add(26 * time.Hour).Format(time.RFC3339)
	auth := failed("a", "192.0.2.1") + failed("b", "192.0.2.2") + "no header at all\n\n" + old + " web1 cron[1]: late\n" + ahead + " web1 app: ahead\n" +
		"<13>1 " + ahead + " web1 app 1 - - ahead\n" + strings.Repeat("x", 2000) + "\n"
	r.write(auth)
	got := r.waitInput(r.watched, 8)
	require.Equal(t, inputstats.Counts{
		Lines: 8, Bytes: uint64(len(auth)) - 8 - (2000 - 1024), Formats: map[string]uint64{"rfc3164": 4, "rfc5424": 1}, Unparsed: 2, Empty: 1,
		Late: 1, Future: 2, Truncated: 1,
	}, got)

	for i := range 3 { // files of a pattern are one input
		appendTo(t, filepath.Join(filepath.Dir(r.watched), fmt.Sprint(i, ".web")), traversal("192.0.2.66")+"\n"+`{"msg":"hello"}`+"\n")
	}
	got = r.waitInput(pattern, 6)
	require.Equal(t, map[string]uint64{"access": 3, "json": 3}, got.Formats)

	send := func(network, addr, text string) {
		conn, err := net.Dial(network, addr)
		require.NoError(t, err)
		_, err = conn.Write([]byte(text))
		require.NoError(t, err)
		require.NoError(t, conn.Close())
	}
	for range 5 {
		send("udp", r.cfg.SyslogBind, "<38>"+failed("c", "192.0.2.3"))
	}
	send("udp", r.cfg.SyslogBind, strings.Repeat("y", 3000))
	send("tcp", r.cfg.SyslogTCPBind, strings.Repeat("<38>"+failed("d", "192.0.2.4"), 7))
	got = r.waitInput("syslog:udp", 6)
	require.Equal(t, map[string]uint64{"rfc3164": 5}, got.Formats)
	require.EqualValues(t, 1, got.Unparsed)
	require.EqualValues(t, 1, got.Truncated)
	got = r.waitInput("syslog:tcp", 7)
	require.Equal(t, map[string]uint64{"rfc3164": 7}, got.Formats)

	shop := runEcho(t, d, "shop")
	logLine(t, d, shop, traversal("192.0.2.67"))
	logLine(t, d, shop, "starting")
	got = r.waitInput("container:shop", 2)
	require.Equal(t, map[string]uint64{"access": 1}, got.Formats)
	require.EqualValues(t, 1, got.Unparsed)

	before := r.inputs()
	s.stop()
	r.start()
	require.Equal(t, before, r.inputs(), "they are kept over a restart")
}

// A crash loses the counts after the last checkpoint, and the lines of them are read again: each is counted once.
func TestCountsOfInputsAreExactAfterACrash(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.CheckpointIntervalSecs = 3600 // at the start and the end only
	written := uint64(0)
	for range 3 {
		s := r.start()
		older, err := os.ReadFile(r.checkpoint())
		require.NoError(t, err)
		for range 100 {
			r.write(canary("cron"))
			written++
		}
		r.waitInput(r.watched, written)
		s.stop()
		require.NoError(t, os.WriteFile(r.checkpoint(), older, 0o600))
	}
	r.start()
	got := r.waitInput(r.watched, written)
	require.Equal(t, written, got.Lines)
	require.Equal(t, written, got.Formats["rfc3164"])
}

// What was lost of a file is on its next alert, and on no other one.
func TestLossIsNamedOnTheNextAlert(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.start()
	r.write(failed("a", "192.0.2.1"))
	require.Empty(t, r.wait(1)[0].Incomplete)
	r.write(strings.Repeat("x", r.cfg.MaxLineBytes+10) + "\n")
	s.waitLines(2)
	r.write(failed("b", "192.0.2.2"))
	require.Equal(t, []event.Incomplete{{Counter: "truncated_lines", Amount: 1}}, r.wait(2)[1].Incomplete)
	r.write(failed("c", "192.0.2.3"))
	require.Empty(t, r.wait(3)[2].Incomplete)

	s.stop()
	r.write(canary("cron"))
	require.NoError(t, os.Remove(r.watched)) // and what was not read of it
	r.write("")
	r.start()
	require.Eventually(t, func() bool { return len(r.inputs()[r.watched].Lost) > 0 }, patience, tick)
	r.write(failed("d", "192.0.2.4"))
	got := r.wait(4)[3].Incomplete
	require.Len(t, got, 1)
	require.Equal(t, r.inputs()[r.watched].Lost, map[string]uint64{got[0].Counter: got[0].Amount})
}
