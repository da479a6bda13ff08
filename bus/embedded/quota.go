package embedded

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// maxUserClients and maxUserSubscriptions are what one user may have of the observers' port at a time.
	maxUserClients       = 8
	maxUserSubscriptions = 16
	// reservedClients are the connections that only root and the daemon's user may have: many users, or one with many uids, have the others.
	reservedClients = 8
	// observerRate and observerBurst are how many bytes one user may send in a second, and at once. An observer has little to say.
	observerRate  = 16 << 10
	observerBurst = 32 << 10
	// observerRead is how much is read of an observer at a time, so that none waits for long for what others of its user sent.
	observerRead = 2 << 10

	// maxUsersKept bounds the users without connections that are remembered for what they sent.
	maxUsersKept = 256
	// refusalsTold is for how long refusals are told, maxUsersTold of how many users by name.
	refusalsTold = time.Minute
	maxUsersTold = 3
)

var (
	errUserClients       = fmt.Errorf("maximum connections exceeded: one user may have %d", maxUserClients)
	errOthersClients     = fmt.Errorf("maximum connections exceeded: users other than root and the daemon's may have %d", maxClients-reservedClients)
	errUserSubscriptions = fmt.Errorf("maximum subscriptions exceeded: one user may have %d", maxUserSubscriptions)
)

// quota is what each user has of the observers' port. Its methods may be called concurrently.
type quota struct {
	now func() time.Time

	mu            sync.Mutex
	users         map[string]*userShare
	subscriptions int // of all users
	others        int // connections of users other than root and the daemon's
	refused       map[string]*refusals
}

// userShare is what one user has.
type userShare struct {
	clients       int
	subscriptions int
	sent          bucket
}

// refusals count what a user was refused, until refusalsTold after the last.
type refusals struct {
	clients, subscriptions, messages uint64
	last                             time.Time
}

func newQuota(now func() time.Time) *quota {
	return &quota{now: now, users: map[string]*userShare{}, refused: map[string]*refusals{}}
}

// join returns a connection of user, or an error if the user has too many. Call end in the end.
func (q *quota) join(user string) (*observerClient, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	share := q.users[user]
	if share == nil {
		q.forget()
		share = &userShare{sent: bucket{rate: observerRate, burst: observerBurst}}
		q.users[user] = share
	}
	if share.clients >= maxUserClients {
		q.refuse(user, errUserClients)
		return nil, fmt.Errorf("%s: %w", user, errUserClients)
	}
	if !reservedFor(user) {
		if q.others >= maxClients-reservedClients {
			q.refuse(user, errOthersClients)
			return nil, fmt.Errorf("%s: %w", user, errOthersClients)
		}
		q.others++
	}
	share.clients++
	return &observerClient{quota: q, user: user, share: share, subscriptions: map[string]struct{}{}}, nil
}

// reservedFor reports whether a user may have the reserved connections.
func reservedFor(user string) bool {
	return user == userOf(0) || user == userOf(os.Geteuid())
}

// userOf returns what ownerOf says of a local user.
func userOf(uid int) string { return "uid " + strconv.Itoa(uid) }

// forget drops users without connections who need not wait before they send again. q.mu is held.
func (q *quota) forget() {
	if len(q.users) < maxUsersKept {
		return
	}
	now := q.now()
	maps.DeleteFunc(q.users, func(_ string, s *userShare) bool { return s.clients == 0 && s.sent.idle(now) })
}

// refuse counts a refusal of user. q.mu is held.
func (q *quota) refuse(user string, why error) {
	now := q.now()
	r := q.refused[user]
	if r == nil && len(q.refused) >= maxUsersKept {
		user = "others"
		r = q.refused[user]
	}
	if r == nil || now.Sub(r.last) > refusalsTold {
		r = &refusals{}
		q.refused[user] = r
	}
	r.last = now
	switch {
	case errors.Is(why, errUserClients), errors.Is(why, errOthersClients):
		r.clients++
	case errors.Is(why, errUserSubscriptions):
		r.subscriptions++
	default:
		r.messages++
	}
}

// subscribers returns how many subscriptions all observers have.
func (q *quota) subscribers() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.subscriptions
}

// reason returns who was refused within refusalsTold, as a sentence for people, "" if nobody was.
func (q *quota) reason() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	maps.DeleteFunc(q.refused, func(_ string, r *refusals) bool { return now.Sub(r.last) > refusalsTold })
	if len(q.refused) == 0 {
		return ""
	}
	users := slices.SortedFunc(maps.Keys(q.refused), func(a, b string) int {
		if more := q.refused[b].all() - q.refused[a].all(); more != 0 {
			return int(more)
		}
		return strings.Compare(a, b)
	})
	var parts []string
	for _, user := range users[:min(len(users), maxUsersTold)] {
		r := q.refused[user]
		parts = append(parts, fmt.Sprintf("%s (%d connections, %d for subscriptions, %d for what they sent)", user, r.clients, r.subscriptions, r.messages))
	}
	if more := len(users) - maxUsersTold; more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	return fmt.Sprintf("connections of observers are refused, one user may have %d, and %d subscriptions: %s", maxUserClients, maxUserSubscriptions, strings.Join(parts, ", "))
}

func (r *refusals) all() int64 { return int64(r.clients + r.subscriptions + r.messages) } //nolint:gosec // far fewer

// observerClient is one connection of an observer. Its methods are for the goroutine that reads the connection, and end for when that has ended.
type observerClient struct {
	quota         *quota
	user          string
	share         *userShare
	subscriptions map[string]struct{} // by sid
}

// subscribe takes a subscription, or returns an error if the user has too many. The server ignores one with a sid that is in use.
func (c *observerClient) subscribe(sid string) error {
	if _, known := c.subscriptions[sid]; known {
		return nil
	}
	c.quota.mu.Lock()
	defer c.quota.mu.Unlock()
	if c.share.subscriptions >= maxUserSubscriptions {
		return errUserSubscriptions
	}
	c.share.subscriptions++
	c.quota.subscriptions++
	c.subscriptions[sid] = struct{}{}
	return nil
}

// unsubscribe gives a subscription back.
func (c *observerClient) unsubscribe(sid string) {
	if _, known := c.subscriptions[sid]; !known {
		return
	}
	delete(c.subscriptions, sid)
	c.quota.mu.Lock()
	defer c.quota.mu.Unlock()
	c.share.subscriptions--
	c.quota.subscriptions--
}

// sent counts n bytes that the client sent, and returns how long to wait before it is read again.
func (c *observerClient) sent(n int) time.Duration {
	c.quota.mu.Lock()
	defer c.quota.mu.Unlock()
	return c.share.sent.take(n, c.quota.now())
}

// end gives everything back. refused is why the connection was refused, or nil.
func (c *observerClient) end(refused error) {
	c.quota.mu.Lock()
	defer c.quota.mu.Unlock()
	c.share.clients--
	if !reservedFor(c.user) {
		c.quota.others--
	}
	c.share.subscriptions -= len(c.subscriptions)
	c.quota.subscriptions -= len(c.subscriptions)
	if refused != nil {
		c.quota.refuse(c.user, refused)
	}
}

// bucket is a token bucket: rate bytes in a second, and burst at once. It is for one goroutine at a time.
type bucket struct {
	rate, burst int
	next        time.Time // when all that was taken is paid for
}

// take takes n bytes, and returns how long to wait until they are there.
func (b *bucket) take(n int, now time.Time) time.Duration {
	if full := now.Add(-b.time(b.burst)); b.next.Before(full) {
		b.next = full
	}
	b.next = b.next.Add(b.time(n))
	return max(0, b.next.Sub(now))
}

// idle reports whether the next bytes need not wait.
func (b *bucket) idle(now time.Time) bool { return !b.next.After(now) }

func (b *bucket) time(n int) time.Duration {
	return time.Duration(n) * time.Second / time.Duration(b.rate)
}
