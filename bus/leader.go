package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrNoLeader is returned while a cluster of servers has no leader for a stream, or for itself:
// for seconds after a server was lost, and as long as half of the servers or more are.
var ErrNoLeader = errors.New("the cluster has one while more than half of its servers run and reach each other: start those that are down")

// leaderTimeout is how long a leader has to answer, which includes an election: servers without a leader
// are silent for ten seconds before they say so. They are asked again every leaderInterval, for a
// request before the end of an election is not answered.
const (
	leaderTimeout  = 3 * time.Second
	leaderInterval = 500 * time.Millisecond
)

// codeNoLeader is the server's code for a request that needs a leader of the cluster.
const codeNoLeader = 10008

// CheckLeaders returns an error that is ErrNoLeader and names what has none: streams, or the cluster.
// It returns nil if the server is alone. The connection must be an operator's or the daemon's.
func (c *Conn) CheckLeaders(ctx context.Context) error {
	if c.nc.ConnectedClusterName() == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, leaderTimeout)
	defer cancel()
	inbox := c.nc.NewInbox()
	sub, err := c.nc.SubscribeSync(inbox + ".*")
	if err != nil {
		return c.explain(err)
	}
	defer func() { _ = sub.Unsubscribe() }() // gone with the connection at the latest
	requests := leaderRequests()
	for len(requests) > 0 && ctx.Err() == nil {
		for name, subject := range requests {
			if err := c.nc.PublishRequest(subject, inbox+"."+name, nil); err != nil {
				return c.explain(err)
			}
		}
		dropAnswered(ctx, sub, inbox+".", requests)
	}
	if !c.Connected() {
		return nil // that is another error
	}
	return leaderError(requests)
}

// dropAnswered deletes from requests those that a leader answers within leaderInterval. The subjects of answers
// are prefix and the name of the request.
func dropAnswered(ctx context.Context, sub *nats.Subscription, prefix string, requests map[string]string) {
	ctx, cancel := context.WithTimeout(ctx, leaderInterval)
	defer cancel()
	for len(requests) > 0 {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return
		}
		if hasLeader(m) {
			delete(requests, strings.TrimPrefix(m.Subject, prefix))
		}
	}
}

// theCluster stands for the leader of the cluster, among names of streams.
const theCluster = "cluster"

// leaderRequests returns requests that only leaders answer.
func leaderRequests() map[string]string {
	out := map[string]string{theCluster: "$JS.API.INFO"}
	for _, s := range []StreamName{Packets, Alerts, Actions, DLQ, bucketStream(BlocklistBucket), bucketStream(AuditBucket)} {
		out[string(s)] = "$JS.API.STREAM.INFO." + string(s)
	}
	return out
}

// hasLeader reports whether an answer came from a leader. A replica that knows of none may answer, too.
func hasLeader(m *nats.Msg) bool {
	var answer struct {
		Error   *jetstream.APIError    `json:"error"`
		Cluster *jetstream.ClusterInfo `json:"cluster"`
	}
	if json.Unmarshal(m.Data, &answer) != nil {
		return false
	}
	if answer.Error != nil {
		return answer.Error.ErrorCode != codeNoLeader
	}
	return answer.Cluster == nil || answer.Cluster.Leader != ""
}

// leaderError names the streams, and the cluster, that are in without; nil if none is.
func leaderError(without map[string]string) error {
	var names []string
	if _, ok := without[theCluster]; ok {
		names = append(names, "the cluster of the external bus")
	}
	for _, stream := range slices.Sorted(maps.Keys(without)) {
		if stream != theCluster {
			names = append(names, "stream "+stream)
		}
	}
	switch len(names) {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("%s has no leader: %w", names[0], ErrNoLeader)
	}
	return fmt.Errorf("%s have no leader: %w", strings.Join(names, ", "), ErrNoLeader)
}
