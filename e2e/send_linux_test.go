package e2e_test

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/event"
)

// Lines that an operator sends are alerts of a peer, also where the daemon is killed right after they were taken: each line once, and
// those of which the command did not learn that they were taken at most once.
func TestSentLinesSurviveAKill(t *testing.T) {
	t.Parallel()
	s := newInstance(t)
	s.start()
	s.ironpost("send", "--tag", "sudo", "sent1 : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/bash", "sent2 : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/bash")
	s.kill()
	s.start()
	s.eventually(func() bool { return len(s.alertsOf("sent1"))+len(s.alertsOf("sent2")) == 2 })
	a := s.alertsOf("sent1")[0]
	require.Equal(t, event.TrustPeer, a.Trust)
	require.Equal(t, event.TransportOperator, a.Origin.Transport)
	require.Contains(t, a.Origin.Peer, "uid ")

	stream := s.operatorCommand("send")
	in, err := stream.StdinPipe()
	require.NoError(t, err)
	out, err := stream.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, stream.Start())
	sent := 0
	write := func() {
		_, _ = io.WriteString(in, rootShell(fmt.Sprintf("stream%d", sent))) // it ends when the daemon does
		sent++
	}
	for range 100 {
		write()
	}
	s.eventually(func() bool { return len(s.alertsOf("stream99")) == 1 })
	s.kill()
	write()
	_ = in.Close()
	message, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Error(t, stream.Wait())
	require.Equal(t, 5, stream.ProcessState.ExitCode())
	require.Contains(t, message, "100 lines before were taken")
	s.start()
	s.append([]byte(rootShell("after")))
	s.eventually(func() bool { return len(s.alertsOf("after")) == 1 })
	users := map[string]int{}
	for _, a := range s.alerts() {
		users[a.User]++
	}
	for i := range 100 {
		require.Equal(t, 1, users[fmt.Sprintf("stream%d", i)])
	}
	require.Zero(t, users["stream100"])
}

func (s *instance) alertsOf(user string) (found []event.Alert) {
	s.t.Helper()
	for _, a := range s.alerts() {
		if a.User == user && strings.Contains(a.Title, "Root Shell") {
			found = append(found, a)
		}
	}
	return found
}
