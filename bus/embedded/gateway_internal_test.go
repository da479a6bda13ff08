package embedded

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGatewayRemembersReplySubject(t *testing.T) {
	t.Parallel()
	var g gateway
	first := g.addPending("_INBOX.a")
	second := g.addPending("_INBOX.b")
	for token, want := range map[string]string{first: "_INBOX.a", second: "_INBOX.b"} {
		reply, ok := g.replySubject(token)
		require.True(t, ok)
		require.Equal(t, want, reply)
	}
}

func TestGatewayForgetsOldRequests(t *testing.T) {
	t.Parallel()
	var g gateway
	old := g.addPending("_INBOX.old")
	for n := range maxPendingRequests {
		g.addPending("_INBOX." + strconv.Itoa(n))
	}
	_, ok := g.replySubject(old)
	require.False(t, ok)
}

func TestGatewayIgnoresUnknownToken(t *testing.T) {
	t.Parallel()
	var g gateway
	for _, token := range []string{"", "0", "-1", "zz", "!", "99999999999999999999999"} {
		_, ok := g.replySubject(token)
		require.False(t, ok, token)
	}
}
