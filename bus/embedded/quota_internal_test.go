package embedded

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestQuotaBoundsEachUser(t *testing.T) {
	t.Parallel()
	q := newQuota(time.Now)
	var clients []*observerClient
	for range maxUserClients {
		c, err := q.join("uid 1000")
		require.NoError(t, err)
		clients = append(clients, c)
	}
	_, err := q.join("uid 1000")
	require.ErrorIs(t, err, errUserClients)
	other, err := q.join("uid 1001")
	require.NoError(t, err, "another user has its own")
	for n := range maxUserSubscriptions {
		require.NoError(t, clients[n%maxUserClients].subscribe(strconv.Itoa(n)))
	}
	require.ErrorIs(t, clients[0].subscribe("one more"), errUserSubscriptions)
	require.NoError(t, clients[0].subscribe("0"), "the server ignores a second one with a sid")
	require.NoError(t, other.subscribe("1"))
	require.Equal(t, maxUserSubscriptions+1, q.subscribers())

	clients[0].unsubscribe("0")
	clients[0].unsubscribe("unknown")
	require.NoError(t, clients[1].subscribe("another"))
	require.ErrorIs(t, clients[1].subscribe("and one more"), errUserSubscriptions)
	for _, c := range append(clients, other) {
		c.end(nil)
	}
	require.Zero(t, q.subscribers())
	_, err = q.join("uid 1000")
	require.NoError(t, err)
}

// Many users together, or one with many uids, leave connections for root.
func TestQuotaKeepsConnectionsForRoot(t *testing.T) {
	t.Parallel()
	q := newQuota(time.Now)
	var others []*observerClient
	for n := range maxClients - reservedClients {
		c, err := q.join(userOf(100_000 + n))
		require.NoError(t, err)
		others = append(others, c)
	}
	_, err := q.join(userOf(200_000))
	require.ErrorIs(t, err, errOthersClients)
	require.Contains(t, q.reason(), "uid 200000 (1 connections")
	for range reservedClients {
		c, err := q.join(userOf(0))
		require.NoError(t, err)
		defer c.end(nil)
	}
	others[0].end(nil)
	_, err = q.join(userOf(200_000))
	require.NoError(t, err)
}

func TestQuotaTellsRefusalsForAMinute(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	q := newQuota(func() time.Time { return now })
	require.Empty(t, q.reason())
	for range maxUserClients + 2 {
		_, _ = q.join("uid 65534")
	}
	c, err := q.join("uid 7")
	require.NoError(t, err)
	c.end(errUserSubscriptions)
	require.Equal(t, "connections of observers are refused, one user may have 8, and 16 subscriptions: "+
		"uid 65534 (2 connections, 0 for subscriptions, 0 for what they sent), uid 7 (0 connections, 1 for subscriptions, 0 for what they sent)", q.reason())
	now = now.Add(refusalsTold + 1)
	require.Empty(t, q.reason())
	for n := range 10 * maxUsersKept { // as a user with many uids could
		c, err := q.join("uid " + strconv.Itoa(n))
		require.NoError(t, err)
		c.end(errNotAdmitted)
	}
	require.LessOrEqual(t, len(q.users), maxUsersKept+1)
	require.LessOrEqual(t, len(q.refused), maxUsersKept+1)
	require.Contains(t, q.reason(), " more")
}

func TestQuotaSlowsDownAUserThatSendsMuch(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	q := newQuota(func() time.Time { return now })
	first, err := q.join("uid 1000")
	require.NoError(t, err)
	require.Zero(t, first.sent(observerBurst))
	require.Equal(t, time.Second, first.sent(observerRate))
	first.end(nil)
	again, err := q.join("uid 1000")
	require.NoError(t, err)
	require.Equal(t, 2*time.Second, again.sent(observerRate), "a new connection does not begin anew")
	other, err := q.join("uid 1001")
	require.NoError(t, err)
	require.Zero(t, other.sent(observerRate))
	now = now.Add(time.Hour)
	require.Zero(t, again.sent(observerBurst))
}
