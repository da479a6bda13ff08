package docker

import (
	"context"
	"fmt"
	"hash/maphash"
	"net/http"
	"strings"
	"time"

	"github.com/docker/docker/client"
)

// Time budgets of calls. dockerd works on one network at a time: the last of 50
// disconnects waits for about 5 s on a busy machine.
const (
	readBudget   = 10 * time.Second
	changeBudget = 30 * time.Second
	killBudget   = 60 * time.Second
)

// Client calls one dockerd, which may be restarted or away. Each call opens a session if
// there is none, and closes it when the connection fails. Its methods may be called
// concurrently.
type Client struct {
	host        string
	maxResponse int
	labels      *imageLabels

	// lock guards session. It is a channel so that a call waits no longer than its own
	// budget while another asks a dockerd that hangs for its version.
	lock    chan struct{}
	session *session
}

// session is the API version negotiated with one run of dockerd, and its connections.
type session struct {
	api       *client.Client
	transport *http.Transport
}

// Connect returns a client of the dockerd at socket: the path of a unix socket, or
// unix://path, or tcp://host:port (a socket proxy). It does not connect yet, so dockerd
// need not be running. The error is about an address of another form.
func Connect(socket string) (*Client, error) {
	host := socket
	if strings.HasPrefix(socket, "/") {
		host = "unix://" + socket
	}
	if _, err := client.ParseHostURL(host); err != nil {
		return nil, fmt.Errorf("docker socket %q: want a path, unix://path or tcp://host:port: %w", socket, err)
	}
	labels := &imageLabels{seed: maphash.MakeSeed(), known: map[string]map[uint64]struct{}{}}
	return &Client{host: host, maxResponse: maxResponse, labels: labels, lock: make(chan struct{}, 1)}, nil
}

// Close closes idle connections. Running calls go on.
func (c *Client) Close() {
	c.lock <- struct{}{}
	defer c.unlock()
	if c.session != nil {
		c.session.transport.CloseIdleConnections()
		c.session = nil
	}
}

// call runs fn in the current session, within budget, and classifies its error.
func (c *Client) call(ctx context.Context, what string, budget time.Duration, fn func(context.Context, *client.Client) error) error {
	timed, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	s, err := c.open(timed)
	if err == nil {
		err = fn(timed, s.api)
	}
	return c.finish(ctx, s, what, err)
}

// finish classifies err, and closes a session whose connection failed.
func (c *Client) finish(ctx context.Context, s *session, what string, err error) error {
	err = classify(ctx, what, err)
	if ClassOf(err) == Unavailable {
		c.closeSession(s)
	}
	return err
}

// open returns the current session, opening one if needed.
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
	s, err := newSession(c.host, c.maxResponse)
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

// closeSession closes s, unless another call has opened a new session already.
func (c *Client) closeSession(s *session) {
	c.lock <- struct{}{}
	defer c.unlock()
	if s == nil || c.session != s {
		return
	}
	s.transport.CloseIdleConnections()
	c.session = nil
}

func (c *Client) unlock() { <-c.lock }

func newSession(host string, maxResponse int) (*session, error) {
	transport := &http.Transport{MaxIdleConns: 6, IdleConnTimeout: 30 * time.Second}
	httpClient := &http.Client{Transport: transport, CheckRedirect: client.CheckRedirect}
	api, err := client.NewClientWithOpts(
		client.WithHTTPClient(httpClient),
		client.WithHost(host), // sets the transport's dialer
		func(*client.Client) error {
			httpClient.Transport = limitedTransport{transport, maxResponse}
			return nil
		},
		client.WithScheme("http"),
	)
	if err != nil {
		return nil, err
	}
	return &session{api: api, transport: transport}, nil
}
