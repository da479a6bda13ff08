package docker

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/docker/docker/client"
)

// Time budgets. dockerd works on one container's network at a time: the last of
// 50 disconnects waits for about 5 s on a busy machine.
const (
	readBudget = 10 * time.Second
	actBudget  = 30 * time.Second
	killBudget = 60 * time.Second
)

// Client is a connection to a container engine that may come and go. Its methods
// may be called concurrently.
type Client struct {
	host string
	most int // bytes of an answer, or of a line of events

	// lock guards session. It is a channel so that nobody waits for it longer than
	// their own budget while an engine that hangs is being asked for its version.
	lock    chan struct{}
	session *session
}

// session is one agreement on an API version with one run of the daemon.
type session struct {
	api       *client.Client
	transport *http.Transport
}

// Connect returns a client of the engine at socket: the path of a unix socket,
// or unix://path, or tcp://host:port (a socket proxy). It does not connect yet,
// so the engine need not be there. The error names a socket that cannot be meant.
func Connect(socket string) (*Client, error) {
	host := socket
	if strings.HasPrefix(socket, "/") {
		host = "unix://" + socket
	}
	if _, err := client.ParseHostURL(host); err != nil {
		return nil, fmt.Errorf("docker socket %q: want a path, unix://path or tcp://host:port: %w", socket, err)
	}
	return &Client{host: host, most: maxAnswer, lock: make(chan struct{}, 1)}, nil
}

// Close ends idle connections. Calls that are under way go on.
func (c *Client) Close() {
	c.lock <- struct{}{}
	defer c.unlock()
	if c.session != nil {
		c.session.transport.CloseIdleConnections()
		c.session = nil
	}
}

// call runs fn within budget, in the current session, and gives its error a class.
func (c *Client) call(ctx context.Context, what string, budget time.Duration, fn func(context.Context, *client.Client) error) error {
	timed, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	s, err := c.open(timed)
	if err == nil {
		err = fn(timed, s.api)
	}
	return c.finish(ctx, s, what, err)
}

// finish gives err its class and forgets a session whose connection failed.
func (c *Client) finish(ctx context.Context, s *session, what string, err error) error {
	err = classify(ctx, what, err)
	if ClassOf(err) == Unavailable {
		c.forget(s)
	}
	return err
}

// open returns the current session, or begins one.
func (c *Client) open(ctx context.Context) (*session, error) {
	select {
	case c.lock <- struct{}{}:
		defer c.unlock()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if c.session != nil {
		return c.session, nil
	}
	s, err := newSession(c.host, c.most)
	if err != nil {
		return nil, err
	}
	ping, err := s.api.Ping(ctx)
	if err != nil {
		s.transport.CloseIdleConnections()
		return nil, err
	}
	s.api.NegotiateAPIVersionPing(ping)
	c.session = s
	return s, nil
}

// forget drops s, unless another call has already begun a new session.
func (c *Client) forget(s *session) {
	c.lock <- struct{}{}
	defer c.unlock()
	if s == nil || c.session != s {
		return
	}
	s.transport.CloseIdleConnections()
	c.session = nil
}

func (c *Client) unlock() { <-c.lock }

func newSession(host string, most int) (*session, error) {
	transport := &http.Transport{MaxIdleConns: 6, IdleConnTimeout: 30 * time.Second}
	httpClient := &http.Client{Transport: transport, CheckRedirect: client.CheckRedirect}
	api, err := client.NewClientWithOpts(
		client.WithHTTPClient(httpClient),
		client.WithHost(host), // sets the transport's dialer
		func(*client.Client) error { httpClient.Transport = capped{transport, most}; return nil },
		client.WithScheme("http"),
	)
	if err != nil {
		return nil, err
	}
	return &session{api: api, transport: transport}, nil
}
